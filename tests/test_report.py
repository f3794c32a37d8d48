"""The report: what is there of a run, what is missing, what is comparable, and what every target promises."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fig.report.claim import list_gains
from fig.report.measures import compare_all, find_comparable
from fig.report.page import average_times, list_discriminators
from fig.report.results import Results, describe_missing, find_reason, note_missing, read_results
from fig.report.tables import format_percent, to_markdown
from fig.report.targets import make_target, render_tables
from fig.report.targets.comparison import lay_out_comparison
from fig.runtime.record import Origin, Record, Times
from fig.study.selection import Selection
from fig.study.targets import ROWS, TARGETS, Target
from support.runs import (
    OOD,
    PLACE,
    make_metrics,
    make_results,
    make_selection,
    make_study,
    read_notes,
    read_text,
    write_images,
    write_run,
)

TWO = ("photos-c", "coco-c")
AUROC = {
    "standard": {0: (0.60, 0.70), 1: (0.50, 0.60)},
    "fig": {0: (0.80, 0.90), 1: (0.50, 0.80)},
}
SELECTION = make_selection(make_study("standard", "fig"))


@pytest.fixture
def metrics() -> pd.DataFrame:
    rows = make_metrics(AUROC, ood=TWO)
    rows.loc[(rows["metric"] == "accuracy") & (rows["seed"] == 1), "value"] = 0.92
    return rows


def cell(compared: pd.DataFrame, variant: str, measure: str) -> tuple[float, float, int]:
    (row,) = compared[(compared["variant"] == variant) & (compared["measure"] == measure)].itertuples()
    return row.mean, row.sd, row.seeds


def test_means_are_over_ood_sets_first_and_deviations_over_seeds(metrics: pd.DataFrame):
    compared = compare_all(metrics)
    assert cell(compared, "fig", "auroc") == pytest.approx((0.75, np.std([0.85, 0.65], ddof=1), 2))
    assert cell(compared, "fig", "auroc.coco-c") == pytest.approx((0.85, np.std([0.9, 0.8], ddof=1), 2))
    assert cell(compared, "standard", "accuracy") == pytest.approx((0.91, np.std([0.9, 0.92], ddof=1), 2))


def test_averages_are_over_the_ood_sets_that_everything_was_scored_on(metrics: pd.DataFrame):
    alone = metrics[
        (metrics["metric"] == "auroc") & (metrics["ood_dataset"] == "coco-c") & (metrics["variant"] == "fig")
    ]
    more = pd.concat([metrics, alone.assign(ood_dataset="lsun-c", value=0.1)], ignore_index=True)
    compared = compare_all(more)
    for name in ("auroc", "gain", "harmonic_mean"):
        assert cell(compared, "fig", name) == cell(compare_all(metrics), "fig", name)
    assert cell(compared, "fig", "auroc.lsun-c")[0] == pytest.approx(0.1)
    assert [gain.mean for gain in list_gains(more)] == [gain.mean for gain in list_gains(metrics)]


def test_the_harmonic_mean_is_that_of_the_averages(metrics: pd.DataFrame):
    mean, _, seeds = cell(compare_all(metrics[metrics["seed"] == 0]), "standard", "harmonic_mean")
    assert (mean, seeds) == (pytest.approx(2 * 0.65 * 0.9 / (0.65 + 0.9)), 1)


def test_a_gain_is_paired_by_seed(metrics: pd.DataFrame):
    compared = compare_all(metrics)
    assert cell(compared, "fig", "gain") == pytest.approx((0.15, np.std([0.2, 0.1], ddof=1), 2))
    assert not ((compared["variant"] == "standard") & (compared["measure"] == "gain")).any()


def test_the_comparison_is_in_per_cent_and_in_the_configurations_order(metrics: pd.DataFrame):
    table = lay_out_comparison(compare_all(metrics), "digits")
    assert table.columns[:3].tolist() == ["network", "variant", "detector"]
    assert table["variant"].tolist() == ["standard", "fig"]
    assert table["AUROC ↑"].tolist() == ["60.0 ± 7.1", "75.0 ± 14.1"]
    assert table["AUROC gain over standard ↑"].tolist() == ["", "+15.0 ± 7.1"]
    made = make_target(TARGETS["comparison"], make_results(metrics), SELECTION)
    assert "| fig " in to_markdown(made.tables[0]) and made.tables[0].name == "comparison-digits"


def test_one_seed_has_no_deviation(metrics: pd.DataFrame):
    table = lay_out_comparison(compare_all(metrics[metrics["seed"] == 0]), "digits")
    assert table["AUROC ↑"].tolist() == ["65.0", "85.0"]
    assert format_percent(float("nan"), 0.0) == ""


def test_a_stages_seconds_are_means_over_its_jobs():
    times = {"stage": ["pretrain", "evaluate", "evaluate"], "started": [0.0, 50.0, 60.0], "ended": [50.0, 125.0, 85.0]}
    parts = dict.fromkeys(("startup", "ray", "tracking"), 1.0)
    assert average_times(pd.DataFrame(times).assign(**parts))["seconds a job"].tolist() == ["50.0", "50.0"]


# One policy of what is comparable


ODIN, GRAM, ORACLE = (
    {"standard": {0: (a, a, a + 0.03), 1: (a, a + 0.02, a)}, "fig": {0: (b, b, b + 0.06), 1: (b, b, b)}}
    for a, b in ((0.5, 0.7), (0.9, 0.6), (0.55, 0.95))
)


def test_without_the_baseline_everything_compares_under_the_studys_first_detector():
    rows = pd.concat(
        [make_metrics(ODIN, "odin", "id-only"), make_metrics(ORACLE, "odin", "oracle"), make_metrics(GRAM, "gram")]
    )
    cards = {(*PLACE, "fig", 0): {"key": "k", "settings": {"method": {"K": 0.1}}}}
    results = make_results(rows, cards=cards)
    selection = make_selection(make_study("standard", "fig", detectors=("odin", "gram")))
    standard = np.mean([0.5, 0.5, 0.53, 0.5, 0.52, 0.5])
    fig = np.mean([0.7, 0.7, 0.76, 0.7, 0.7, 0.7])
    made = {name: make_target(TARGETS[name], results, selection) for name in ("table2", "table4", "paired", "fig1")}
    table = made["table2"].table_values.query("ood_dataset == 'average'").set_index("column")["mean"]
    assert table.to_dict() == {"standard": pytest.approx(standard), "fig": pytest.approx(fig)}
    table = made["table4"].table_values.query("measure == 'AUROC'").set_index("column")["mean"]
    assert table.to_dict() == {"standard": pytest.approx(standard), "fig": pytest.approx(fig)}
    assert made["paired"].table_values["difference"].tolist() == [pytest.approx(fig - standard)]
    assert made["fig1"].figure_values["mean"].tolist() == [pytest.approx(standard), pytest.approx(fig)]
    values = make_target(TARGETS["fig2"], results, selection).figure_values
    assert values.query("ood_dataset == 'average'")["mean"].tolist() == [pytest.approx(fig - standard)]
    values = make_target(TARGETS["resampling"], results, selection).table_values
    assert values.query("column == 'gain of fig'")["mean"].mean() == pytest.approx(fig - standard)
    compared = [gain for gain in list_gains(results.metrics) if gain.compared]
    assert [(gain.detector, gain.protocol) for gain in compared] == [("odin", "id-only")]
    assert compared[0].mean == pytest.approx(fig - standard)
    (listed,) = list_discriminators(results)
    assert listed["auroc"] == "72.0"


def test_what_is_asked_for_is_in_a_row_and_nan_where_it_is_missing():
    values = find_comparable(make_metrics({"fig": {0: (0.8, 0.7, None)}}), make_selection(make_study("fig")))
    assert len(values) == 2 * 3 and values["value"].isna().sum() == 4
    assert (
        find_comparable(make_results(make_metrics({})).metrics, make_selection(make_study("fig")))["value"].isna().all()
    )


# What is missing, and why


def test_only_metrics_of_other_weights_are_called_so(tmp_path: Path):
    key = (*PLACE, "fig", 0)
    folder = tmp_path.joinpath("discriminators", *map(str, key))
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("key,value\nk,1\n")
    assert find_reason(tmp_path, key) == "it was not made yet"
    for weights, reason in {
        "k": "it was not made yet",
        "l": "its metrics are of other weights: evaluate it again",
    }.items():
        (folder / "discriminator.json").write_text(json.dumps({"key": weights}))
        assert find_reason(tmp_path, key) == reason
    assert not read_results(tmp_path, make_selection(make_study("fig"), seeds=[0]), TARGETS["table1"]).folders


def test_what_is_missing_is_said_once_for_each_reason():
    missing = {(*PLACE, "fig", seed): "it diverged" for seed in (0, 2)} | {(*PLACE, "jcl", 0): "no time; none"}
    where = "Missing of digits/resnet18"
    assert describe_missing(missing) == [f"{where}: fig (0 2): it diverged.", f"{where}: jcl (0): no time; none."]
    many = {(*PLACE, "fig", seed): f"reason {seed}" for seed in range(5)}
    assert note_missing(many).endswith("fig (2): reason 2. 2 more of the kind are in the report.")
    assert note_missing({}) == ""


# What every target promises


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "results" / "some"
    write_run(folder, SELECTION)
    write_images(folder.parents[1] / "data")
    return folder


def read(run: Path, target: Target, selection: Selection = SELECTION) -> Results:
    images = [run.parents[1] / "data" / "8" / name / "test.npy" for name in (PLACE[0], *OOD)]
    return read_results(run, selection, target, images if target.images else ())


@pytest.mark.parametrize("target", ROWS, ids=lambda target: target.name)
def test_a_target_makes_what_its_row_says(target: Target, run: Path):
    made = make_target(target, read(run, target), SELECTION)
    assert (bool(made.tables), made.figure is not None) == (target.table, target.figure)
    files = render_tables(made)
    assert set(files) == ({"csv", "md", "tex", "html"} if target.table else set())
    assert all(target.title in files[suffix] for suffix in ("md", "html") if target.table)
    assert all(len(values) for values in (made.table_values, made.figure_values) if values is not None)
    assert (made.figure_values is not None) == target.figure
    assert "Missing" not in read_notes(made) and "nothing" not in read_notes(made)


@pytest.mark.parametrize("target", ROWS, ids=lambda target: target.name)
def test_a_target_names_the_discriminator_that_is_missing_and_the_reason(target: Target, run: Path, tmp_path: Path):
    copied = tmp_path / "results" / "some"
    shutil.copytree(run, copied)
    shutil.copytree(run.parents[1] / "data", tmp_path / "data")
    shutil.rmtree(copied.joinpath("discriminators", *PLACE, "fig", "0"))
    shutil.rmtree(copied / "throughput")
    log = copied.joinpath("logs", "finetune", *PLACE, "fig", "0.log")
    log.parent.mkdir(parents=True)
    log.write_text("error: an earlier one\nerror: it diverged; the loss is not finite\nTraceback\n")
    made = make_target(target, read(copied, target), SELECTION)
    if target.throughput:
        assert "Missing: digits/resnet18: it was not measured yet." in read_notes(made)
    else:
        assert "Missing of digits/resnet18: fig (0): it diverged; the loss is not finite." in read_notes(made)


@pytest.mark.parametrize("target", ROWS, ids=lambda target: target.name)
def test_a_target_of_nothing_says_so(target: Target, tmp_path: Path):
    made = make_target(target, read(tmp_path / "results" / "some", target), SELECTION)
    assert (bool(made.tables), made.figure is not None) == (target.table, target.figure)
    reason = "it was not measured yet" if target.throughput else "it was not made yet"
    assert reason in read_notes(made)
    assert set(render_tables(made)) == ({"csv", "md", "tex", "html"} if target.table else set())


@pytest.mark.parametrize("target", [row for row in ROWS if row.table and row.needs], ids=lambda target: target.name)
def test_a_caption_ends_with_the_seeds_and_commits_of_what_is_shown(target: Target, run: Path, tmp_path: Path):
    copied = tmp_path / "results" / "some"
    shutil.copytree(run, copied)
    shutil.copytree(run.parents[1] / "data", tmp_path / "data")
    for seed, commit in enumerate(("0a1b", "2c3d-dirty")):
        for folder in copied.glob(f"discriminators/*/*/*/{seed}"):
            for name in ("training", "evaluation"):
                Record(Origin("", "", {}, {}), "", {}, Times(), commit).write(folder / f"{name}.record.json")
    made = make_target(target, read(copied, target), SELECTION)
    shown = "seed 0; commit 0a1b" if target.first_seed else "seeds 0, 1; commits 0a1b, 2c3d-dirty"
    assert all(table.caption.startswith(target.title) and table.caption.endswith(f"; {shown}") for table in made.tables)


def test_images_that_are_missing_are_named_and_gains_are_shown_all_the_same(run: Path):
    target = TARGETS["resampling"]
    some = [run.parents[1] / "data" / "8" / name / "test.npy" for name in (PLACE[0], *OOD[:2], "coco-none")]
    made = make_target(target, read_results(run, SELECTION, target, some), SELECTION)
    assert "Missing of digits: prepared test images of coco-c." in read_notes(made)
    lost = made.table_values.query("ood_dataset == 'coco-c'")
    assert lost["excess"].isna().all() and lost["mean"].notna().all() and "coco" in made.tables[0].cells.to_string()


def test_the_detector_of_the_scores_is_the_one_that_compares(tmp_path: Path):
    selection = make_selection(make_study("standard", "fig", detectors=("gram", "odin")))
    write_run(tmp_path, selection)
    made = make_target(TARGETS["scores"], read_results(tmp_path, selection, TARGETS["scores"]), selection)
    assert "gram score" in read_text(made.figure) and "odin" not in read_text(made.figure)
    areas = made.figure_values.assign(area=lambda t: (t["high"] - t["low"]) * t["density"]).groupby(
        ["variant", "dataset"]
    )["area"]
    assert areas.sum().tolist() == pytest.approx([1.0] * 8)


@pytest.mark.slow
def test_the_overview_shows_one_classifier_before_and_after_with_the_auroc_of_its_seed(tmp_path: Path):
    selection = make_selection(make_study("standard", "fig"))
    write_run(tmp_path, selection)
    shutil.rmtree(tmp_path / "discriminators/digits/resnet18/fig/0")  # of the first seed FIG is missing
    made = make_target(TARGETS["overview"], read_results(tmp_path, selection, TARGETS["overview"]), selection)
    values = made.figure_values.set_index("variant")
    assert values["auroc"].to_dict() == pytest.approx({"standard": 0.53, "fig": 0.84}) and set(values["seed"]) == {1}
    assert values["confidence"].tolist() == pytest.approx([0.97, 0.97])
    text = read_text(made.figure)
    assert "AUROC 53.0 %" in text and "AUROC 84.0 %" in text and "seed 1, one of 2" in text


def test_tables_need_no_matplotlib_and_nothing_here_needs_torch():
    code = """
import importlib, pkgutil, sys
import fig.report.targets.paper_tables, fig.report.targets.throughput, fig.report.targets.comparison
assert "matplotlib" not in sys.modules
for module in pkgutil.walk_packages(fig.report.__path__, "fig.report."):
    importlib.import_module(module.name)
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
