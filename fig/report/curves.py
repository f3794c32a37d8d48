"""Scores as curves: histograms and receiver operating characteristics, thinned to what a small plot can show."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from fig.metrics import Scores, joined

BINS = 40
POINTS = 60  # of a ROC curve, at most


def range_of(*sets: Scores) -> tuple[float, float]:
    """Between which scores a histogram is drawn: all but one in a hundred at either end, for scores have long tails."""
    low, high = np.quantile(np.concatenate(sets), [0.01, 0.99])
    return (float(low), float(high)) if low < high else (float(low) - 0.5, float(high) + 0.5)


def histogram(scores: Scores, low: float, high: float) -> tuple[NDArray, NDArray]:
    """The middle of each bin and the share of the scores in it; the outer bins hold all that is beyond them."""
    counts, edges = np.histogram(np.clip(scores, low, high), BINS, (low, high))
    return (edges[1:] + edges[:-1]) / 2, counts / len(scores)


def roc(id_scores: Scores, ood_scores: Scores) -> tuple[NDArray, NDArray]:
    """Shares of OOD and of ID images accepted, from no image to all; evenly many points where it is steep or flat."""
    accepted_ood, accepted_id, _ = roc_curve(*joined(id_scores, ood_scores))
    along = accepted_ood + accepted_id
    chosen = np.unique(np.searchsorted(along, np.linspace(0, 2, POINTS)))
    return accepted_ood[chosen], accepted_id[chosen]
