"""The baseline detector: the maximum softmax probability (Hendrycks and Gimpel, 2017)."""

from typing import ClassVar

from torch import Tensor

from fig.detectors.protocol import HeldOut, Scorer, Seen, Subject, Unfitted
from fig.settings import NoSettings, settings


@settings
class Baseline(NoSettings, Unfitted):
    """The maximum softmax probability p as its log-odds, log p / (1 - p).

    The order of the images is that of p, so every rank statistic is too; but where p itself is rounded to 1 and
    ties thousands of confident images, the log-odds, taken from the logits in float64, still tell them apart.
    """

    settings: ClassVar[tuple[str, ...]] = ("",)
    chosen: ClassVar[int] = 0

    def scorer(self, subject: Subject, held_out: HeldOut) -> Scorer:
        """Itself: there is nothing to be fitted."""
        return self

    def scores(self, seen: Seen) -> Tensor:
        """Scores (B, 1); the logits need at least two classes."""
        return log_odds(seen.logits.double())[:, None]


def log_odds(logits: Tensor) -> Tensor:
    """Log p / (1 - p) of the most probable class: (B, C) logits -> (B,)."""
    ordered = logits.sort(dim=1, descending=True).values  # (B, C)
    return ordered[:, 0] - ordered[:, 1:].logsumexp(dim=1)
