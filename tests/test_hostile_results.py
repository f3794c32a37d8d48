"""Damaged arrays, tables and descriptions of a run are refused by their file, with the rule that makes them again."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fig import intact
from fig.discriminator import Card, Discriminator, load_card, save
from fig.export import read_decision
from fig.model_card import read_results
from fig.rates import read_rates
from fig.report.results import METRICS
from fig.runtime import tracking
from fig.runtime.folders import evaluation_of, read_card, read_folder
from fig.runtime.record import Times
from fig.serving import load_gate
from fig.stages.target import MakeTarget
from support.hostile import DAMAGED_JSON, Harmful, array, assert_sentence, files_below, put, zipped
from support.runs import OOD, PLACE, make_selection, make_study, write_images, write_run

SELECTION = make_selection(make_study("standard", "fig"))
WHERE = Path("discriminators", *PLACE, "fig", "0")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / "some"
    write_run(folder, SELECTION)
    write_images(tmp_path / "data")
    return folder


def repacked(path: Path, **arrays: object) -> None:
    with np.load(path) as held:
        np.savez(path, **{**held, **arrays})


def bombed(path: Path) -> None:
    parts = {"id.npy": array(np.zeros(2**20)), "images.npy": array(np.zeros(2**20)), "test.npy": array(np.zeros(2**20))}
    path.write_bytes(zipped(**parts))


DAMAGED_ARRAYS: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not arrays"),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(Harmful())),
    "one array": lambda path: path.write_bytes(array(np.zeros(3))),
    "a zip of others": lambda path: path.write_bytes(zipped(a=b"b")),
    "objects that run": lambda path: repacked(path, **{name: np.array([Harmful()]) for name in np.load(path).files}),
    "a lacking array": lambda path: np.savez(path, other=np.zeros(3)),
    "other shapes": lambda path: repacked(path, **{name: np.zeros((1, 2, 3)) for name in np.load(path).files}),
    "texts": lambda path: repacked(path, **{name: np.load(path)[name].astype(str) for name in np.load(path).files}),
    "a bomb": bombed,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}
SHOWN = {  # a file of a discriminator's: the target that shows it, and what makes it again
    "samples.npz": ("samples", "delete .*samples.npz and run the study again: its rule evaluate makes it again"),
    "chains.npz": ("fig5", "delete .*chains.npz and run the study again: its rule chains makes it again"),
    "embedding.npz": ("fig4", "delete .*embedding.npz and run the study again: its rule embedding makes it again"),
    "scores/baseline.npz": ("scores", "delete .*/scores and run the study again: its rule evaluate makes it again"),
}


@pytest.mark.parametrize("file", SHOWN)
@pytest.mark.parametrize("damage", DAMAGED_ARRAYS)
def test_a_figure_of_damaged_arrays_names_the_file_and_the_rule_that_makes_it(
    damage: str, file: str, run: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(intact, "MOST_ARRAYS", 2**22)
    target, sentence = SHOWN[file]
    DAMAGED_ARRAYS[damage](run / WHERE / file)
    before = files_below(run)
    with pytest.raises(ValueError) as refused:
        MakeTarget(target=target, selection=SELECTION, folder=run).run(Times())
    assert_sentence(refused.value, f"{sentence}$", f"{run / WHERE / file} is no file of ")
    assert files_below(run) == before and not Path("it-ran").exists()


@pytest.mark.slow
def test_a_job_that_reads_damaged_arrays_ends_with_one_sentence_and_earlier_results_stay(run: Path, tmp_path: Path):
    job = MakeTarget(target="fig5", selection=SELECTION, folder=run.relative_to(tmp_path))
    words = [sys.executable, *job.command().replace("'", "").split()[1:3], *job.words()]
    done = [subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)]
    DAMAGED_ARRAYS["truncated"](run / WHERE / "chains.npz")
    before = results_below(run)
    done += [subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)]
    assert [each.returncode for each in done] == [0, 1], done[0].stderr
    assert done[1].stderr.count("error: ") == 1 and "Traceback" not in done[1].stderr
    assert "its rule chains makes it again" in done[1].stderr
    assert results_below(run) == before and (run / "figures" / "fig5.png").exists()


def results_below(run: Path) -> dict[str, bytes]:
    """The files of a run without locks, which name their last holder."""
    return {name: content for name, content in files_below(run).items() if not name.endswith(".lock")}


TABLES: dict[str, str | bytes] = {
    "empty": "",
    "bytes": bytes(range(128, 256)),
    "NULs": "\0" * 100,
    "no rows": "id_dataset,network\n",
    "other columns": "key,a,b\nkey,2,3\n",
    "texts": f"iteration,{','.join(METRICS)}\nfirst,digits,resnet18,fig,0,key,baseline,,,photos-c,auroc,many\n",
}


UNKEYED = ("empty", "NULs", "no rows")  # say of no weights that they are evaluated


@pytest.mark.parametrize("damage", TABLES)
@pytest.mark.parametrize(("file", "target"), [("metrics.csv", "table1"), ("history.csv", "fig3")])
def test_a_table_of_a_damaged_file_names_it_or_has_a_gap(damage: str, file: str, target: str, run: Path):
    put(run / WHERE / file, TABLES[damage])
    before = files_below(run)
    job = MakeTarget(target=target, selection=SELECTION, folder=run)
    if file == "metrics.csv" and damage in UNKEYED:
        job.run(Times())
        assert "its metrics are of other weights: evaluate it again" in (run / "tables" / "table1.md").read_text()
        return
    with pytest.raises(ValueError) as refused:
        job.run(Times())
    assert_sentence(refused.value, "delete .* and run the study again: ", str(run / WHERE / file))
    assert files_below(run) == before


@pytest.mark.parametrize("damage", DAMAGED_JSON)
def test_a_damaged_card_throughput_or_description_is_named(damage: str, run: Path, tmp_path: Path):
    card, speed = run / WHERE / "discriminator.json", run / "throughput" / PLACE[0] / f"{PLACE[1]}.json"
    for path, target in {card: "fig1", speed: "table5"}.items():
        kept = path.read_bytes()
        put(path, DAMAGED_JSON[damage])
        with pytest.raises(ValueError) as refused:
            MakeTarget(target=target, selection=SELECTION, folder=run).run(Times())
        assert_sentence(refused.value, "delete .* and run the study again: it makes it again", str(path))
        path.write_bytes(kept)


def test_damaged_images_of_a_figure_are_named(run: Path, tmp_path: Path):
    path = tmp_path / "data" / "8" / OOD[0] / "test.npy"
    for content in (path.read_bytes()[:-9], b"", array(np.array([Harmful()])), array(np.zeros((2, 3)))):
        path.write_bytes(content)
        images = tuple(tmp_path / "data" / "8" / name / "test.npy" for name in (PLACE[0], *OOD))
        with pytest.raises(ValueError) as refused:
            MakeTarget(target="resampling", selection=SELECTION, images=images, folder=run).run(Times())
        assert_sentence(refused.value, "is no array of images that can be read .*: prepare it again", str(path))


# What goes elsewhere: MLflow, the hub, a served model, an exported one, costs


@pytest.fixture
def folder(small: Discriminator, tmp_path: Path) -> Path:
    """The folder of a discriminator that was evaluated."""
    folder = tmp_path / "results" / "run" / "discriminators" / "stripes" / "resnet18" / "fig" / "0"
    save(folder, small, Card(small.architecture, "stripes", "fig", 0, "0123456789abcdef"))
    (folder / "scores").mkdir()
    np.savez(folder / "scores/baseline.npz", id=np.arange(20.0))
    rows = "key,detector,protocol,ood_dataset,metric,value\n0123456789abcdef,baseline,,x,auroc,0.9\n"
    (folder / "metrics.csv").write_text(rows)
    (folder / "history.csv").write_text("iteration,time,loss\n1,2.0,0.5\n")
    return folder


@pytest.mark.parametrize("damage", [*DAMAGED_ARRAYS, "nan", "none"])
@pytest.mark.parametrize("reader", [load_gate, read_decision], ids=["a served model", "an exported one"])
def test_a_model_whose_thresholds_are_damaged_is_neither_served_nor_exported(
    damage: str, reader: Callable[[Path], object], folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(intact, "MOST_ARRAYS", 2**22)
    own = {"nan": lambda path: np.savez(path, id=[np.nan]), "none": lambda path: np.savez(path, id=np.zeros(0))}
    (DAMAGED_ARRAYS | own)[damage](folder / "scores/baseline.npz")
    with pytest.raises(ValueError) as refused:
        reader(folder)
    assert_sentence(refused.value, ": evaluate the discriminator again, with the detector", "scores/baseline.npz is no")
    assert not Path("it-ran").exists()


@pytest.mark.parametrize("damage", DAMAGED_JSON)
def test_a_damaged_decision_is_named(damage: str, folder: Path):
    put(folder / "detector.json", DAMAGED_JSON[damage])
    with pytest.raises(ValueError) as refused:
        read_decision(folder)
    assert_sentence(refused.value, "is no JSON object that can be read .*: `fig detect` rebuilds it", "detector.json")


def damage_file(name: str, content: str | bytes) -> Callable[[Path], object]:
    return lambda folder: put(folder / name, content)


OF_A_MODEL: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights": (damage_file("model.safetensors", b"x"), "model.safetensors is no weights file"),
    "a card": (damage_file("discriminator.json", "{"), "discriminator.json is no JSON object that can be read"),
    "a card's key": (damage_file("discriminator.json", '{"key": 3}'), "discriminator.json .*its key is 3"),
    "scores": (damage_file("scores/baseline.npz", b"PK"), "scores/baseline.npz is no file of arrays"),
    "metrics": (damage_file("metrics.csv", bytes(range(128, 256))), "metrics.csv is no table that can be read"),
    "metrics without a value": (damage_file("metrics.csv", "key\nx\n"), "metrics.csv .*it lacks value"),
}


@pytest.mark.parametrize("what", OF_A_MODEL)
def test_a_damaged_discriminator_is_not_registered_and_mlflow_is_not_touched(what: str, folder: Path, tmp_path: Path):
    damage, sentence = OF_A_MODEL[what]
    damage(folder)
    before = files_below(tmp_path)
    with pytest.raises(ValueError) as refused:
        tracking.register(folder)
    assert_sentence(refused.value, sentence, str(folder))
    assert files_below(tmp_path) == before


def test_of_many_the_damaged_are_not_mirrored_and_named_and_the_others_are(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    mirrored = []
    monkeypatch.setattr(tracking, "mirror", lambda each: mirrored.append(read_card(each)))
    folder.with_name("1").mkdir()
    put(folder.with_name("1") / "discriminator.json", "{")
    assert tracking.sync(tmp_path / "results") == (2, 1)
    assert len(mirrored) == 1 and "1 was skipped" in caplog.text and "is no JSON object" in caplog.text


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", bytes(range(128, 256)), "iteration,time,loss\n1,2,many\n"])
def test_a_damaged_history_is_named_by_what_mirrors_it(content: str | bytes, folder: Path):
    put(folder / "history.csv", content)
    with pytest.raises(ValueError) as refused:
        read_folder(folder)
    assert_sentence(refused.value, ": copy it again, or make it again$", "history.csv is no ")


def test_damaged_metrics_are_named_by_the_model_card_and_a_damaged_training_has_no_rate(folder: Path):
    put(folder / "metrics.csv", "key,detector\nx,y\n")
    card = load_card(folder)
    for read in (lambda: read_results(folder, card), lambda: list(evaluation_of(folder, "x"))):
        with pytest.raises(ValueError, match=r"metrics\.csv is no table that can be read \(it lacks value\)"):
            read()
    record = {"stage": "pretrain", "code": "c", "settings": {}, "inputs": {}, "command": "", "runtime": {}}
    for content in DAMAGED_JSON.values():
        (folder / "training.record.json").write_text(json.dumps(record | {"times": {"device": "cpu", "started": 1.0}}))
        put(folder / "discriminator.json", content)
        assert read_rates([folder], "cpu") == ()
