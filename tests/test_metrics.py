"""Metrics against brute force and against cases that are known."""

import numpy as np
import pytest

from fig.metrics import OOD_METRICS, aupr_in, aupr_out, auroc, fpr95_id_positive, harmonic_mean

DRAW = np.random.default_rng(0)
id_scores = DRAW.normal(1, 1, 60).round(1)  # rounded: there are ties
ood_scores = DRAW.normal(0, 1, 40).round(1)


def test_auroc_counts_pairs_and_a_tie_as_one_half():
    pairs = [1.0 if i > o else 0.5 if i == o else 0.0 for i in id_scores for o in ood_scores]
    assert 0.5 in pairs
    assert auroc(id_scores, ood_scores) == pytest.approx(np.mean(pairs))


def test_fpr95_is_what_the_threshold_that_accepts_95_percent_of_the_id_images_lets_in():
    accepting = [t for t in np.concatenate([id_scores, ood_scores]) if np.mean(id_scores >= t) >= 0.95]
    assert fpr95_id_positive(id_scores, ood_scores) == np.mean(ood_scores >= max(accepting))


def test_average_precision_by_hand():
    assert aupr_in(np.array([3.0, 1.0]), np.array([2.0])) == pytest.approx((1 + 2 / 3) / 2)
    assert aupr_out(np.array([3.0, 1.0]), np.array([2.0])) == pytest.approx(1 / 2)


def test_perfect_and_useless_scores():
    high, low, same = np.arange(5.0) + 10, np.arange(5.0), np.zeros(5)
    assert (auroc(high, low), fpr95_id_positive(high, low), aupr_in(high, low)) == (1, 0, 1)
    assert (auroc(same, same), fpr95_id_positive(same, same)) == (0.5, 1)


@pytest.mark.parametrize("name", OOD_METRICS)
def test_a_metric_depends_on_order_alone_and_lies_in_0_1(name: str):
    value = OOD_METRICS[name](id_scores, ood_scores)
    assert 0 <= value <= 1
    assert OOD_METRICS[name](np.exp(5 * id_scores), np.exp(5 * ood_scores)) == pytest.approx(value)


@pytest.mark.parametrize("name", OOD_METRICS)
def test_scores_that_are_not_finite_or_not_there_are_refused(name: str):
    with pytest.raises(ValueError, match="1 of 2 OOD scores are not finite"):
        OOD_METRICS[name](id_scores, np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="the ID scores are empty"):
        OOD_METRICS[name](np.array([]), ood_scores)


def test_harmonic_mean():
    assert harmonic_mean(1.0, 0.5) == pytest.approx(2 / 3)
    assert harmonic_mean(0.0, 0.0) == 0
