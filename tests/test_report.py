"""Tables, from metrics small enough to check by hand."""

import numpy as np
import pandas as pd
import pytest

from fig.report import render
from fig.report.claim import gains_of
from fig.report.tables import comparison, durations, percent, readable, tables_of

NAMES = ("digits", "resnet18")
AUROC = {  # variant -> seed -> one for each OOD set
    "standard": {0: (0.60, 0.70), 1: (0.50, 0.60)},
    "fig": {0: (0.80, 0.90), 1: (0.50, 0.80)},
}


@pytest.fixture
def metrics() -> pd.DataFrame:
    rows = []
    for variant, seeds in AUROC.items():
        for seed, pair in seeds.items():
            common = (*NAMES, variant, seed, f"key{variant}{seed}")
            rows += [
                (*common, "baseline", "", ood, "auroc", v) for ood, v in zip(("photos-c", "coco-c"), pair, strict=True)
            ]
            own = {"accuracy": 0.9 + 0.02 * seed, "sample_energy": -40.0, "sample_steps": 15.0}
            rows += [(*common, "", "", "", name, value) for name, value in own.items()]
    columns = [
        "id_dataset",
        "network",
        "variant",
        "seed",
        "key",
        "detector",
        "protocol",
        "ood_dataset",
        "metric",
        "value",
    ]
    return pd.DataFrame(rows, columns=columns)


def cell(compared: pd.DataFrame, variant: str, measure: str) -> tuple[float, float, int]:
    (row,) = compared[(compared["variant"] == variant) & (compared["measure"] == measure)].itertuples()
    return row.mean, row.sd, row.seeds


def test_means_are_over_ood_sets_first_and_deviations_over_seeds(metrics: pd.DataFrame):
    compared = comparison(metrics)
    assert cell(compared, "fig", "auroc") == pytest.approx((0.75, np.std([0.85, 0.65], ddof=1), 2))
    assert cell(compared, "fig", "auroc.coco-c") == pytest.approx((0.85, np.std([0.9, 0.8], ddof=1), 2))
    assert cell(compared, "standard", "accuracy") == pytest.approx((0.91, np.std([0.9, 0.92], ddof=1), 2))


def test_averages_are_over_the_ood_sets_that_everything_was_scored_on(metrics: pd.DataFrame):
    alone = metrics[
        (metrics["metric"] == "auroc") & (metrics["ood_dataset"] == "coco-c") & (metrics["variant"] == "fig")
    ]
    more = pd.concat([metrics, alone.assign(ood_dataset="lsun-c", value=0.1)], ignore_index=True)
    compared = comparison(more)
    for measure in ("auroc", "gain", "harmonic_mean"):
        assert cell(compared, "fig", measure) == cell(comparison(metrics), "fig", measure)
    assert cell(compared, "fig", "auroc.lsun-c")[0] == pytest.approx(0.1)
    assert [gain.mean for gain in gains_of(more)] == [gain.mean for gain in gains_of(metrics)]


def test_the_harmonic_mean_is_that_of_the_averages(metrics: pd.DataFrame):
    (mean, _, seeds) = cell(comparison(metrics[metrics["seed"] == 0]), "standard", "harmonic_mean")
    assert (mean, seeds) == (pytest.approx(2 * 0.65 * 0.9 / (0.65 + 0.9)), 1)


def test_a_gain_is_paired_by_seed(metrics: pd.DataFrame):
    compared = comparison(metrics)
    assert cell(compared, "fig", "gain") == pytest.approx((0.15, np.std([0.2, 0.1], ddof=1), 2))
    assert not ((compared["variant"] == "standard") & (compared["measure"] == "gain")).any()


def test_the_readable_table_is_in_per_cent_and_in_the_configurations_order(metrics: pd.DataFrame):
    table = readable(comparison(metrics), "digits")
    assert table.columns[:3].tolist() == ["network", "variant", "detector"]
    assert table["variant"].tolist() == ["standard", "fig"]
    assert table["AUROC ↑"].tolist() == ["60.0 ± 7.1", "75.0 ± 14.1"]
    assert table["AUROC gain over standard ↑"].tolist() == ["", "+15.0 ± 7.1"]
    assert "| fig " in render.markdown(tables_of(comparison(metrics))[0])


def test_one_seed_has_no_deviation(metrics: pd.DataFrame):
    table = readable(comparison(metrics[metrics["seed"] == 0]), "digits")
    assert table["AUROC ↑"].tolist() == ["65.0", "85.0"]
    assert percent(float("nan"), 0.0) == ""


def test_a_stages_seconds_are_means_over_its_jobs():
    times = {"stage": ["pretrain", "evaluate", "evaluate"], "started": [0.0, 50.0, 60.0], "ended": [50.0, 125.0, 85.0]}
    parts = dict.fromkeys(("startup", "ray", "work", "tracking"), 1.0)
    assert durations(pd.DataFrame(times).assign(**parts))["seconds a job"].tolist() == ["50.0", "50.0"]
