"""The paper's tables: ours and its printed values, from metrics small enough to check by hand."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fig.report import paper
from fig.report.results import read_results
from fig.report.tables import to_html, to_latex, to_markdown
from fig.report.targets import Made, make_target, render_tables, throughput
from fig.study import read_config, select_studies
from fig.study.selection import Key, Selection, Study
from fig.study.targets import TARGETS
from support.runs import make_metrics, make_results

ROOT = Path(__file__).parents[1]
WHERE = ("cifar10", "resnet18")
SETS = ("lsun-r-odin", "coco-c")
TITLES = {"cifar10": "CIFAR10", "lsun-r-odin": "LSUN(r)", "coco-c": "COCO(c)"}
AUROC = {  # variant -> seed -> one for each OOD set
    "standard": {0: (0.60, 0.70), 1: (0.50, 0.60)},
    "fig": {0: (0.80, 0.90), 1: (0.50, 0.80)},
    "gaussian": {0: (0.90, 0.90), 1: (0.90, 0.94)},
}


def metrics(aurocs: Mapping[str, Mapping[int, Sequence[float | None]]], detector: str = "baseline", protocol: str = ""):
    """Rows of metrics.csv with these AUROCs, and an accuracy of 90 %."""
    return make_metrics(aurocs, detector, protocol, SETS, WHERE)


def asked(*variants: str, detectors: Sequence[str] = ("baseline",)) -> Study:
    return Study(WHERE[:1], SETS, WHERE[1:], variants or tuple(AUROC), tuple(detectors))


def make(name: str, found: pd.DataFrame, *studies: Study, missing: Mapping[Key, str] = {}, titles=TITLES) -> Made:
    return make_target(TARGETS[name], make_results(found, missing), Selection(studies or (asked(),), (0, 1), titles))


def filled(name: str, found: pd.DataFrame, *studies: Study, **more: Any) -> pd.DataFrame:
    return make(name, found, *studies, **more).table_values


def row(made: Made, **place: str) -> dict[str, str]:
    """The cells of a table's row as people read them, by column."""
    table = made.tables[0].cells
    (found,) = table[(table[list(place)] == pd.Series(place)).all(axis=1)].to_dict("records")
    return found


def select_of_paper(name: str) -> Selection:
    """What a table shows of the paper's configuration."""
    return replace(select_studies(read_config([ROOT / "config" / "paper.yaml"]), TARGETS[name]), seeds=(0,))


@pytest.mark.parametrize(
    ("name", "count"),
    [("table1", 60 * 3), ("table2", 648 + 12), ("table3", 42), ("table4", 28 * 2)],
)
def test_the_papers_configuration_asks_for_every_value_that_the_paper_prints(name: str, count: int):
    selection = select_of_paper(name)
    form = make_target(TARGETS[name], make_results(make_metrics({})), selection).table_values
    assert form["paper"].notna().sum() == count
    assert form["mean"].isna().all() and form["reason"].all()
    assert not list(paper.note_other_sets(selection))


def test_table_1_compares_standard_fig_and_the_paired_gain_with_the_papers():
    cells = row(make("table1", metrics(AUROC)), detector="baseline")
    assert cells["standard"] == "60.0 ± 7.1 | 91.2 | -31.2"
    assert cells["fig"] == "75.0 ± 14.1 | 95.0 | -20.0"
    assert cells["gain"] == "+15.0 ± 7.1 | +3.8 | +11.2"


def test_the_papers_value_is_compared_with_settings_chosen_on_the_test_ood_set_only():
    found = pd.concat([metrics(AUROC, "odin", protocol) for protocol in ("oracle", "id-only")])
    form = make("table1", found, asked("standard", "fig", detectors=["odin"]))
    assert row(form, protocol="oracle")["standard"] == "60.0 ± 7.1 | 92.3 | -32.3"
    assert row(form, protocol="id-only")["standard"] == "60.0 ± 7.1"


def test_table_2_marks_methods_over_which_figs_improvement_has_another_sign():
    made = make("table2", metrics(AUROC))
    form, average = made.table_values, row(made, ood_dataset="average")
    assert average["gaussian"] == "91.0 ± 1.4 † | 91.7 | -0.7"
    assert "†" not in average["standard"] + average["fig"]
    assert form["ood_dataset"].tolist()[-3:] == ["average"] * 3
    better = AUROC | {"gaussian": {0: (0.1, 0.1), 1: (0.1, 0.1)}}
    assert not filled("table2", metrics(better))["disagrees"].any()


def test_methods_are_compared_under_the_detector_that_comes_with_them():
    own = metrics({"deconf": AUROC["fig"]}, "deconf", "id-only")
    oracle = metrics({"deconf": AUROC["gaussian"]}, "deconf", "oracle")
    studies = asked("standard", "fig"), asked("deconf", detectors=["deconf", "baseline"])
    form = make("table2", pd.concat([metrics(AUROC), own, oracle]), *studies)
    assert row(form, ood_dataset="coco-c")["deconf"].startswith("85.0 ± 7.1 | ")


def test_a_methods_detector_without_settings_to_choose_is_compared_too():
    own = metrics({"deconf": AUROC["fig"]}, "deconf")
    form = make(
        "table2", pd.concat([metrics(AUROC), own]), asked("standard", "fig"), asked("deconf", detectors=["deconf"])
    )
    assert row(form, ood_dataset="coco-c")["deconf"].startswith("85.0 ± 7.1 | ")


def test_table_4_has_the_harmonic_mean_and_the_half_that_the_paper_prints():
    form = make("table4", metrics(AUROC))
    mean = np.mean([2 * 0.65 * 0.9 / 1.55, 2 * 0.55 * 0.9 / 1.45])
    assert row(form, measure=paper.HARMONIC)["standard"].endswith(f"| 93.2 | {100 * mean - 93.2:+.1f}")
    assert row(form, measure=paper.HALF)["standard"].endswith(f"| 46.6 | {50 * mean - 46.6:+.1f}")
    assert row(form, measure="accuracy")["standard"] == "90.0 ± 0.0"


def test_what_the_paper_does_not_have_is_ours_alone():
    made = make("table2", metrics(AUROC), titles={})
    form = made.table_values
    assert form["paper"].isna().all() and not form["disagrees"].any()
    assert row(made, ood_dataset="average")["fig"] == "75.0 ± 14.1"


def test_a_missing_seed_is_said_in_the_cell_and_its_reason_below():
    fewer = metrics(AUROC | {"fig": {0: AUROC["fig"][0]}})
    gaps = {(*WHERE, "fig", 1): "a loss was not finite"}
    partly = metrics(AUROC | {"fig": {0: (0.8, None)}})
    reasons = filled("table2", partly, missing=gaps).query("column == 'fig' and ood_dataset == 'average'")["reason"]
    assert "fig/0: its metrics lack" in reasons.iloc[0] and "fig/1: a loss" in reasons.iloc[0], (
        "each seed has its reason"
    )
    made = make("table2", fewer, missing=gaps)
    assert row(made, ood_dataset="average")["fig"].startswith("85.0 (1 of 2 seeds) | 95.0")
    assert "Missing of cifar10/resnet18: fig (1): a loss was not finite." in made.tables[0].notes
    assert filled("table1", fewer, missing=gaps).query("column == 'gain'")["reason"].item().endswith("not finite")


def test_a_cell_without_any_run_is_empty_and_keeps_the_papers_value():
    made = make("table2", metrics({"standard": AUROC["standard"], "fig": {}}), asked("standard", "fig"))
    form = made.table_values
    assert row(made, ood_dataset="average")["fig"] == "— | 95.0 | —"
    assert np.isnan(form.query("column == 'fig'")["mean"]).all() and form.query("column == 'fig'")["reason"].all()


def test_no_average_is_over_fewer_ood_sets_than_asked_for():
    partly = metrics({"standard": AUROC["standard"], "fig": {0: (0.8, None), 1: (0.5, 0.8)}})
    made = make("table2", partly, asked("standard", "fig"))
    form = made.table_values
    assert row(made, ood_dataset="lsun-r-odin")["fig"].startswith("65.0 ± 21.2 |")
    assert row(made, ood_dataset="average")["fig"].startswith("65.0 (1 of 2 seeds)")
    (reason,) = form.query("column == 'fig' and ood_dataset == 'average'")["reason"]
    assert "fig/0: its metrics lack some of what is asked" in reason


def test_averages_over_other_ood_sets_than_the_papers_are_said():
    made = make("table1", metrics(AUROC))
    (note,) = [each for each in made.tables[0].notes if "averages" in each]
    assert "over lsun-r-odin, coco-c; the paper's are over LSUN(r), LSUN(c)" in note


def test_every_form_of_a_table_has_every_cell():
    (made,) = make("table2", metrics(AUROC)).tables
    rows = [line for line in to_markdown(made).splitlines() if line.startswith("|")]
    assert "Missing" not in "".join(made.notes)
    assert [len(re.split(r"(?<!\\)\|", line)) for line in rows] == [len(made.cells.columns) + 2] * (len(made.cells) + 2)
    latex = to_latex(made)
    body = [line for line in latex.splitlines() if line.endswith(r"\\") and "cifar10" in line]
    assert [line.count("&") for line in body] == [len(made.cells.columns) - 1] * len(made.cells)
    assert r"91.0 $\pm$ 1.4 $^\dagger$ $\vert$ 91.7 $\vert$ $-$0.7" in latex and r"\toprule" in latex
    assert r"\caption{AUROC on each OOD set" in latex, "LaTeX numbers its tables itself"
    assert latex.count("{") == latex.count("}") and not re.search(r"(?<!\\)[_%#]", latex.replace("tab:table2", ""))
    assert "<td>91.0 ± 1.4 † | 91.7 | -0.7</td>" in to_html(made)


def test_table_5_compares_a_speed_with_the_papers_of_the_same_network_and_size():
    known = {"device": "cpu", "precision": "float32", "batch": 128, "steps": 11.5, "images": 256, "seconds": 2.0}
    speed = {
        "id_dataset": "digits",
        "network": "resnet18",
        "width": 1.0,
        "size": 32,
        "images_per_second": 128.0,
        **known,
    }
    form = throughput.compare_speeds([speed], [("digits", "resnet18"), ("miniimagenet", "resnet18")])
    cells = throughput.lay_out_speeds(form)
    first, second = cells.to_dict("records")
    narrow = throughput.lay_out_speeds(throughput.compare_speeds([speed | {"width": 0.125}], [("digits", "resnet18")]))
    heading = "images a second: ours | the paper's | difference"
    assert (first["device"], first["batch"], first["steps taken"]) == ("cpu", "128", "11.5")
    assert first[heading] == "128.0 | 556 | -428.0" and second[heading] == "—"
    assert narrow[heading].tolist() == ["128.0"] and narrow["width"].tolist() == ["0.125"]
    assert form["reason"].tolist() == ["", "it was not measured yet"]


def test_a_table_is_made_of_what_there_is_of_a_run(tmp_path: Path):
    run = tmp_path / "results" / "some"
    for variant in ("standard", "fig"):
        found = metrics({variant: AUROC[variant]})
        for seed, rows in found.groupby("seed"):
            folder = run / "discriminators" / "/".join((*WHERE, variant, str(seed)))
            if (variant, seed) != ("fig", 1):
                folder.mkdir(parents=True)
                rows.to_csv(folder / "metrics.csv", index=False)
                (folder / "discriminator.json").write_text('{"key": "key"}')
    log = run / "logs" / "finetune" / "/".join((*WHERE, "fig", "1.log"))
    log.parent.mkdir(parents=True)
    log.write_text("error: the disk is full\n")
    selection = Selection((asked("standard", "fig"),), (0, 1), TITLES)

    def written() -> str:
        results = read_results(run, selection, TARGETS["table2"])
        return render_tables(make_target(TARGETS["table2"], results, selection))["md"]

    assert "Missing of cifar10/resnet18: fig (1): the disk is full." in written()
    card = run / "discriminators" / "/".join((*WHERE, "fig", "0")) / "discriminator.json"
    card.write_text(json.dumps({"key": "of other weights"}))
    assert "fig (0): its metrics are of other weights" in written()
