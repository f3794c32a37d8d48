"""How well scores separate in-distribution (ID) from out-of-distribution (OOD) images; higher score = more ID.

Areas come from scikit-learn's exact rank statistics, in which a tie counts one half. A binary AUROC that maps
unbounded scores through a sigmoid first (torchmetrics' does) turns large scores into ties, and is not used.
Scikit-learn takes more than a second to import, so it is imported when the first area is computed.
"""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def check_scores(id_scores: Scores, ood_scores: Scores) -> None:
    """Raise ValueError where a set of scores is empty or has a value that is not finite."""
    for name, scores in (("ID", id_scores), ("OOD", ood_scores)):
        if not len(scores):
            raise ValueError(f"the {name} scores are empty: nothing can be compared")
        if not np.isfinite(scores).all():
            raise ValueError(f"{np.sum(~np.isfinite(scores))} of {len(scores)} {name} scores are not finite")


def join_scores(id_scores: Scores, ood_scores: Scores) -> tuple[NDArray[np.int64], Scores]:
    """Is-ID labels and scores of both sets after one another: (N,), (M,) -> (N + M,), (N + M,)."""
    check_scores(id_scores, ood_scores)
    return np.repeat([1, 0], [len(id_scores), len(ood_scores)]), np.concatenate([id_scores, ood_scores])


def auroc(id_scores: Scores, ood_scores: Scores) -> float:
    """Probability that an ID image scores above an OOD image, a tie counting one half; in [0, 1]."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(*join_scores(id_scores, ood_scores)))


def aupr_in(id_scores: Scores, ood_scores: Scores) -> float:
    """Average precision with ID as the positive class; in [0, 1], and dependent on the sizes of the two sets."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(*join_scores(id_scores, ood_scores)))


def aupr_out(id_scores: Scores, ood_scores: Scores) -> float:
    """Average precision with OOD as the positive class; in [0, 1], and dependent on the sizes of the two sets."""
    from sklearn.metrics import average_precision_score

    is_id, scores = join_scores(id_scores, ood_scores)
    return float(average_precision_score(1 - is_id, -scores))


def threshold(id_scores: Scores, share: float) -> float:
    """The largest score that at least this share of the ID scores reaches; ValueError where it is not in (0, 1]."""
    if not 0 < share <= 1:
        raise ValueError(f"a share of {share} of the ID images cannot be accepted: it must be above 0 and at most 1")
    return float(np.sort(id_scores)[::-1][int(np.ceil(share * len(id_scores))) - 1])


def fpr95_id_positive(id_scores: Scores, ood_scores: Scores) -> float:
    """Share of OOD images accepted at the largest threshold that accepts 95 % of the ID images; in [0, 1].

    This is the convention of the baseline, ODIN and FIG papers. The other one, with OOD as the positive class,
    asks what share of ID images is rejected when 95 % of the OOD images are; the two are not equal.
    """
    check_scores(id_scores, ood_scores)
    return float(np.mean(ood_scores >= threshold(id_scores, 0.95)))


def fpr95_ood_positive(id_scores: Scores, ood_scores: Scores) -> float:
    """Share of ID images rejected at the smallest threshold that rejects 95 % of the OOD images; in [0, 1].

    This is OpenOOD's convention since version 1.5.
    """
    check_scores(id_scores, ood_scores)
    return fpr95_id_positive(-ood_scores, -id_scores)


def detection_error(id_scores: Scores, ood_scores: Scores) -> float:
    """Smallest mean, over thresholds, of the shares of ID images rejected and of OOD images accepted; in [0, 1/2]."""
    from sklearn.metrics import roc_curve

    is_id, scores = join_scores(id_scores, ood_scores)
    accepted_ood, accepted_id, _ = roc_curve(is_id, scores)
    return float(np.min((1 - accepted_id + accepted_ood) / 2))


def auroc_interval(
    id_scores: Scores, ood_scores: Scores, level: float = 0.95, replicates: int = 300, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of AUROC in [0, 1]; ID and OOD images are resampled independently."""
    check_scores(id_scores, ood_scores)
    draw = np.random.default_rng(seed)
    values, codes = np.unique(np.concatenate([id_scores, ood_scores]), return_inverse=True)
    id_codes, ood_codes = codes[: len(id_scores)], codes[len(id_scores) :]
    found = np.empty(replicates)
    for number in range(replicates):
        ids = np.bincount(draw.choice(id_codes, len(id_codes)), minlength=len(values))
        oods = np.bincount(draw.choice(ood_codes, len(ood_codes)), minlength=len(values))
        below = np.cumsum(oods) - oods  # OOD images that score less than each value
        found[number] = ids @ (below + oods / 2) / (len(id_codes) * len(ood_codes))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def calibration_error(confidence: Scores, correct: NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error (Guo et al., 2017): |accuracy - confidence| over equal bins of confidence; in [0, 1].

    `confidence` (N,) is the largest class probability, `correct` (N,) whether that class is the label. Raises
    ValueError where there are no images.
    """
    if not len(confidence):
        raise ValueError("there are no images: their calibration error is not known")
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    excess = np.bincount(places, correct - confidence)
    return float(np.abs(excess).sum() / len(confidence))


def harmonic_mean(a: float, b: float) -> float:
    """2ab / (a + b); 0 where both are 0."""
    return 2 * a * b / (a + b) if a + b else 0.0


OOD_METRICS = {
    "auroc": auroc,
    "fpr95_id_positive": fpr95_id_positive,
    "fpr95_ood_positive": fpr95_ood_positive,
    "detection_error": detection_error,
    "aupr_in": aupr_in,
    "aupr_out": aupr_out,
}
