"""Metrics against brute force and against cases that are known."""

import numpy as np
import pytest
from scipy import stats

from fig.metrics import (
    OOD_METRICS,
    aupr_in,
    aupr_out,
    auroc,
    auroc_interval,
    calibration_error,
    detection_error,
    fpr95_id_positive,
    fpr95_ood_positive,
    harmonic_mean,
    threshold,
)

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


def test_the_other_fpr95_is_what_the_threshold_that_rejects_95_percent_of_the_ood_images_rejects():
    rejecting = [t for t in np.concatenate([id_scores, ood_scores]) if np.mean(ood_scores <= t) >= 0.95]
    assert fpr95_ood_positive(id_scores, ood_scores) == np.mean(id_scores <= min(rejecting))


@pytest.mark.parametrize("share", [0.01, 0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("scores", [id_scores, id_scores[:7]])
def test_the_threshold_is_the_largest_score_that_the_share_reaches(scores: np.ndarray, share: float):
    assert threshold(scores, share) == max(t for t in scores if np.mean(scores >= t) >= share)


@pytest.mark.parametrize("share", [-0.5, 0.0, 1.5])
def test_a_share_that_is_none_is_refused(share: float):
    with pytest.raises(ValueError, match="it must be above 0 and at most 1"):
        threshold(id_scores, share)


def test_the_detection_error_is_the_least_of_any_threshold():
    thresholds = [*id_scores, *ood_scores, np.inf]
    errors = [(np.mean(id_scores < t) + np.mean(ood_scores >= t)) / 2 for t in thresholds]
    assert detection_error(id_scores, ood_scores) == pytest.approx(min(errors))


def average_precision(positive: np.ndarray, negative: np.ndarray) -> float:
    """Precision at each threshold, weighted by what recall it adds."""
    value, before = 0.0, 0.0
    for t in sorted({*positive, *negative}, reverse=True):
        true, false = np.sum(positive >= t), np.sum(negative >= t)
        value, before = value + (true / len(positive) - before) * true / (true + false), true / len(positive)
    return value


def test_average_precision_weights_the_precision_at_each_threshold_by_the_recall_that_it_adds():
    assert aupr_in(id_scores, ood_scores) == pytest.approx(average_precision(id_scores, ood_scores))
    assert aupr_out(id_scores, ood_scores) == pytest.approx(average_precision(-ood_scores, -id_scores))


def test_average_precision_by_hand():
    assert aupr_in(np.array([3.0, 1.0]), np.array([2.0])) == pytest.approx((1 + 2 / 3) / 2)
    assert aupr_out(np.array([3.0, 1.0]), np.array([2.0])) == pytest.approx(1 / 2)


def test_a_metric_has_the_name_of_its_function():
    assert all(function.__name__ == name for name, function in OOD_METRICS.items())


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


@pytest.mark.parametrize("level", [{}, {"level": 0.5}])
def test_the_interval_of_auroc_is_scipys_bootstrap_over_images_and_ties_count_one_half(level: dict[str, float]):
    draw = np.random.default_rng(1)
    ids, oods = np.append(draw.integers(1, 4, 30), 9), draw.integers(0, 3, 20)  # 9 is missing in many replicates

    def area(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        x, y = x[..., :, None], y[..., None, :]
        return ((x > y) + (x == y) / 2).mean(axis=(-2, -1))

    way = {"confidence_level": level.get("level", 0.95), "n_resamples": 3000, "method": "percentile", "rng": 0}
    theirs = stats.bootstrap((ids, oods), area, vectorized=True, **way).confidence_interval
    found = auroc_interval(ids, oods, replicates=3000, **level)
    assert found == pytest.approx((theirs.low, theirs.high), abs=0.01)
    assert auroc_interval(ids, oods, **level) == pytest.approx(found, abs=0.04)
    assert auroc_interval(ids, oods, seed=1) == auroc_interval(ids, oods, seed=1) != auroc_interval(ids, oods, seed=2)


def test_an_interval_of_scores_that_are_not_there_is_refused():
    with pytest.raises(ValueError, match="1 of 2 OOD scores are not finite"):
        auroc_interval(id_scores, np.array([1.0, np.nan]))


def test_the_calibration_error_weights_each_of_fifteen_bins_by_its_images():
    draw = np.random.default_rng(2)
    confidence = np.append(draw.uniform(size=300), [1.0, 1.0])  # the last bin holds its upper end
    correct = draw.uniform(size=302) < confidence**2
    error = 0.0
    for number in range(15):
        inside = (confidence >= number / 15) & (confidence < (number + 1) / 15 if number < 14 else confidence <= 1)
        error += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert calibration_error(confidence, correct) == pytest.approx(error)


def test_the_calibration_error_at_its_ends():
    sure = np.ones(4)
    assert calibration_error(sure, sure.astype(bool)) == 0
    assert calibration_error(sure, ~sure.astype(bool)) == 1
    assert calibration_error(np.array([1.0, 0.96]), np.array([False, True])) == pytest.approx(0.48)
    with pytest.raises(ValueError, match="there are no images"):
        calibration_error(np.array([]), np.array([], dtype=bool))


def test_harmonic_mean():
    assert harmonic_mean(1.0, 0.5) == harmonic_mean(0.5, 1.0) == pytest.approx(2 / 3)
    assert harmonic_mean(0.3, 0.3) == pytest.approx(0.3)
    assert harmonic_mean(0.0, 0.0) == 0
