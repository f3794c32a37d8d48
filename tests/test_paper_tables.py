"""The paper's tables: ours beside its printed values, from metrics small enough to check by hand."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from fig.configuration import complete, shown
from fig.report.forms import KINDS, form_of
from fig.report.records import METRICS
from fig.report.studies import Shown, Study
from fig.runtime.origin import origin
from fig.stages.table import table as make_table

from fig.report import paper, readable, render, speeds

ROOT = Path(__file__).parents[1]
WHERE = ("cifar10", "resnet18")
SETS = ("lsun-r-odin", "coco-c")
TITLES = {"cifar10": "CIFAR10", "lsun-r-odin": "LSUN(r)", "coco-c": "COCO(c)"}
AUROC = {  # variant -> seed -> one for each OOD set
    "standard": {0: (0.60, 0.70), 1: (0.50, 0.60)},
    "fig": {0: (0.80, 0.90), 1: (0.50, 0.80)},
    "gaussian": {0: (0.90, 0.90), 1: (0.90, 0.94)},
}


def metrics(aurocs: Mapping[str, Mapping[int, Sequence[float]]], detector: str = "baseline", protocol: str = ""):
    """Rows of metrics.csv with these AUROCs, and an accuracy of 90 %."""
    rows = []
    for variant, seeds in aurocs.items():
        for seed, values in seeds.items():
            named = dict(zip(METRICS, (*WHERE, variant, seed, "key"), strict=False)) | {"detector": "", "protocol": ""}
            rows.append({**named, "ood_dataset": "", "metric": "accuracy", "value": 0.9})
            scored = {**named, "detector": detector, "protocol": protocol, "metric": "auroc"}
            rows += [
                {**scored, "ood_dataset": o, "value": v} for o, v in zip(SETS, values, strict=True) if v is not None
            ]
    return pd.DataFrame(rows, columns=METRICS)


def asked(*variants: str, detectors: Sequence[str] = ("baseline",)) -> Study:
    return Study(WHERE[:1], SETS, WHERE[1:], variants or tuple(AUROC), tuple(detectors))


def filled(name: str, found: pd.DataFrame, *studies: Study, gaps: Mapping = {}) -> pd.DataFrame:
    return form_of(KINDS[name], found, Shown(studies or (asked(),), (0, 1), TITLES), gaps)


def row(form: pd.DataFrame, **place: str) -> dict[str, str]:
    """The cells of a form's row as people read them, by column."""
    table = readable.readable(form, 2)
    (found,) = table[(table[list(place)] == pd.Series(place)).all(axis=1)].to_dict("records")
    return found


@pytest.mark.parametrize(
    ("name", "count"),
    [("table1", 60 * 3), ("table2", 648 + 12), ("table3", 42), ("table4", 28 * 2)],
)
def test_the_papers_configuration_asks_for_every_value_that_the_paper_prints(name: str, count: int):
    study = complete(yaml.safe_load((ROOT / "config" / "paper.yaml").read_text()))
    what = shown(study, name)
    studies = [Study(**{key: tuple(names) for key, names in each.items()}) for each in what["studies"]]
    form = form_of(KINDS[name], pd.DataFrame(columns=METRICS), Shown(tuple(studies), (0,), what["titles"]), {})
    assert form["paper"].notna().sum() == count
    assert form["mean"].isna().all() and form["reason"].all()
    assert not list(readable.other_sets(Shown(tuple(studies), (0,), what["titles"])))


def test_table_1_sets_standard_fig_and_the_paired_gain_beside_the_papers():
    cells = row(filled("table1", metrics(AUROC)), detector="baseline")
    assert cells["standard"] == "60.0 ± 7.1 | 91.2 | -31.2"
    assert cells["fig"] == "75.0 ± 14.1 | 95.0 | -20.0"
    assert cells["gain"] == "+15.0 ± 7.1 | +3.8 | +11.2"


def test_the_papers_value_stands_beside_settings_chosen_on_the_test_ood_set_only():
    found = pd.concat([metrics(AUROC, "odin", protocol) for protocol in ("oracle", "id-only")])
    form = filled("table1", found, asked("standard", "fig", detectors=["odin"]))
    assert row(form, protocol="oracle")["standard"] == "60.0 ± 7.1 | 92.3 | -32.3"
    assert row(form, protocol="id-only")["standard"] == "60.0 ± 7.1"


def test_table_2_marks_methods_over_which_figs_improvement_has_another_sign():
    form = filled("table2", metrics(AUROC))
    average = row(form, ood_dataset="average")
    assert average["gaussian"] == "91.0 ± 1.4 † | 91.7 | -0.7"
    assert "†" not in average["standard"] + average["fig"]
    assert form["ood_dataset"].tolist()[-3:] == ["average"] * 3
    better = AUROC | {"gaussian": {0: (0.1, 0.1), 1: (0.1, 0.1)}}
    assert not filled("table2", metrics(better))["disagrees"].any()


def test_methods_are_compared_under_the_detector_that_comes_with_them():
    own = metrics({"deconf": AUROC["fig"]}, "deconf", "id-only")
    oracle = metrics({"deconf": AUROC["gaussian"]}, "deconf", "oracle")
    studies = asked("standard", "fig"), asked("deconf", detectors=["deconf", "baseline"])
    form = filled("table2", pd.concat([metrics(AUROC), own, oracle]), *studies)
    assert row(form, ood_dataset="coco-c")["deconf"].startswith("85.0 ± 7.1 | ")


def test_a_methods_detector_without_settings_to_choose_is_compared_too():
    own = metrics({"deconf": AUROC["fig"]}, "deconf")
    form = filled(
        "table2", pd.concat([metrics(AUROC), own]), asked("standard", "fig"), asked("deconf", detectors=["deconf"])
    )
    assert row(form, ood_dataset="coco-c")["deconf"].startswith("85.0 ± 7.1 | ")


def test_table_4_has_the_harmonic_mean_and_the_half_that_the_paper_prints():
    form = filled("table4", metrics(AUROC))
    mean = np.mean([2 * 0.65 * 0.9 / 1.55, 2 * 0.55 * 0.9 / 1.45])
    assert row(form, measure=paper.HARMONIC)["standard"].endswith(f"| 93.2 | {100 * mean - 93.2:+.1f}")
    assert row(form, measure=paper.HALF)["standard"].endswith(f"| 46.6 | {50 * mean - 46.6:+.1f}")
    assert row(form, measure="accuracy")["standard"] == "90.0 ± 0.0"


def test_what_the_paper_does_not_have_is_ours_alone():
    elsewhere = Shown((asked(),), (0, 1), {})
    form = form_of(KINDS["table2"], metrics(AUROC), elsewhere, {})
    assert form["paper"].isna().all() and not form["disagrees"].any()
    assert row(form, ood_dataset="average")["fig"] == "75.0 ± 14.1"


def test_a_missing_seed_is_said_in_the_cell_and_its_reason_below():
    fewer = metrics(AUROC | {"fig": {0: AUROC["fig"][0]}})
    gaps = {(*WHERE, "fig", 1): "a loss was not finite"}
    partly = metrics(AUROC | {"fig": {0: (0.8, None)}})
    reasons = filled("table2", partly, gaps=gaps).query("column == 'fig' and ood_dataset == 'average'")["reason"]
    assert "fig/0: its metrics lack" in reasons.iloc[0] and "fig/1: a loss" in reasons.iloc[0], (
        "each seed has its reason"
    )
    form = filled("table2", fewer, gaps=gaps)
    assert row(form, ood_dataset="average")["fig"].startswith("85.0 (1 of 2 seeds) | 95.0")
    what = Shown((asked(),), (0, 1), TITLES)
    assert (
        "Missing of cifar10/resnet18: fig (1): a loss was not finite." in readable.table_of("table2", form, what).notes
    )
    assert filled("table1", fewer, gaps=gaps).query("column == 'gain'")["reason"].item().endswith("not finite")


def test_a_cell_without_any_run_is_empty_and_keeps_the_papers_value():
    form = filled("table2", metrics({"standard": AUROC["standard"], "fig": {}}), asked("standard", "fig"))
    assert row(form, ood_dataset="average")["fig"] == "— | 95.0 | —"
    assert np.isnan(form.query("column == 'fig'")["mean"]).all() and form.query("column == 'fig'")["reason"].all()


def test_no_average_is_over_fewer_ood_sets_than_asked_for():
    partly = metrics({"standard": AUROC["standard"], "fig": {0: (0.8, None), 1: (0.5, 0.8)}})
    form = filled("table2", partly, asked("standard", "fig"))
    assert row(form, ood_dataset="lsun-r-odin")["fig"].startswith("65.0 ± 21.2 |")
    assert row(form, ood_dataset="average")["fig"].startswith("65.0 (1 of 2 seeds)")
    (reason,) = form.query("column == 'fig' and ood_dataset == 'average'")["reason"]
    assert "fig/0: its metrics lack some of what is asked" in reason


def test_averages_over_other_ood_sets_than_the_papers_are_said():
    form = filled("table1", metrics(AUROC))
    (note,) = [each for each in readable.notes("table1", form, Shown((asked(),), (0, 1), TITLES)) if "averages" in each]
    assert "over lsun-r-odin, coco-c; the paper's are over LSUN(r), LSUN(c)" in note


def test_every_form_of_a_table_has_every_cell():
    made = readable.table_of("table2", filled("table2", metrics(AUROC)), Shown((asked(),), (0, 1), TITLES))
    rows = [line for line in render.markdown(made).splitlines() if line.startswith("|")]
    assert "Missing" not in "".join(made.notes)
    assert [len(re.split(r"(?<!\\)\|", line)) for line in rows] == [len(made.cells.columns) + 2] * (len(made.cells) + 2)
    latex = render.latex(made)
    body = [line for line in latex.splitlines() if line.endswith(r"\\") and "cifar10" in line]
    assert [line.count("&") for line in body] == [len(made.cells.columns) - 1] * len(made.cells)
    assert r"91.0 $\pm$ 1.4 $^\dagger$ $\vert$ 91.7 $\vert$ $-$0.7" in latex and r"\toprule" in latex
    assert r"\caption{AUROC on each OOD set" in latex, "LaTeX numbers its tables itself"
    assert latex.count("{") == latex.count("}") and not re.search(r"(?<!\\)[_%#]", latex.replace("tab:table2", ""))
    assert "<td>91.0 ± 1.4 † | 91.7 | -0.7</td>" in render.html(made)


def test_table_5_sets_a_speed_beside_the_papers_of_the_same_network_and_size():
    known = {"device": "cpu", "precision": "float32", "batch": 128, "steps": 11.5, "images": 256, "seconds": 2.0}
    speed = {
        "id_dataset": "digits",
        "network": "resnet18",
        "width": 1.0,
        "size": 32,
        "images_per_second": 128.0,
        **known,
    }
    form = speeds.speeds([speed], [("digits", "resnet18"), ("miniimagenet", "resnet18")])
    made = speeds.table_of(form)
    first, second = made.cells.to_dict("records")
    narrow = speeds.table_of(speeds.speeds([speed | {"width": 0.125}], [("digits", "resnet18")]))
    told = "images a second: ours | the paper's | difference"
    assert (first["device"], first["batch"], first["steps taken"]) == ("cpu", "128", "11.5")
    assert first[told] == "128.0 | 556 | -428.0" and second[told] == "—"
    assert narrow.cells[told].tolist() == ["128.0"] and narrow.cells["width"].tolist() == ["0.125"]
    assert "Missing: miniimagenet/resnet18: it was not measured yet." in made.notes
    rows = [line for line in render.markdown(made).splitlines() if line.startswith("|")]
    assert {len(re.split(r"(?<!\\)\|", line)) for line in rows} == {len(made.cells.columns) + 2}


def test_a_table_is_made_of_what_there_is_of_a_run_and_says_what_it_was_made_of(tmp_path: Path, monkeypatch):
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
    study = {key: list(names) for key, names in vars(asked("standard", "fig")).items()}
    texts = json.dumps([study]), "[0, 1]", json.dumps(TITLES)
    words = ["--target", "table2", "--studies", texts[0], "--seeds", texts[1], "--titles", texts[2], "--run", str(run)]
    monkeypatch.setattr("sys.argv", ["fig.stages.table", *words])
    make_table("table2", *texts, run)
    assert "Missing of cifar10/resnet18: fig (1): the disk is full." in (run / "tables" / "table2.md").read_text()
    made_of = json.loads((run / "tables" / "table2.timing.json").read_text())["made_of"]
    assert len(made_of["inputs"]) == 4 and list(made_of["inputs"].values()).count("") == 1
    first = run / "discriminators" / "/".join((*WHERE, "fig", "0")) / "metrics.csv"
    first.write_text(first.read_text().replace("0.8", "0.7"))
    assert origin("table", words)["inputs"] != made_of["inputs"]
    first.with_name("discriminator.json").write_text('{"key": "of other weights"}')
    make_table("table2", *texts, run)
    assert "fig (0): its metrics are of other weights" in (run / "tables" / "table2.md").read_text()
