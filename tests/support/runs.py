"""Runs for the tests of the report: discriminators' folders and metrics, small enough to check by hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text

from fig.report.results import METRICS, Results
from fig.report.targets import Made
from fig.study.selection import Key, Selection, Study

PLACE = ("digits", "resnet18")
OOD = ("photos-c", "photos-r-nearest", "coco-c")
GROUPS = {"near": OOD[:2], "far": OOD[2:]}
Aurocs = Mapping[str, Mapping[int, Sequence[float | None]]]  # variant -> seed -> one for each OOD set


def make_metrics(
    aurocs: Aurocs, detector: str = "baseline", protocol: str = "", ood: Sequence[str] = OOD, place: Key | tuple = PLACE
) -> pd.DataFrame:
    """Rows of metrics.csv with these AUROCs, and an accuracy of 90 %; a None is left out."""
    rows = []
    for variant, seeds in aurocs.items():
        for seed, values in seeds.items():
            own = dict(zip(METRICS, (*place, variant, seed, "key"), strict=False)) | {"setting": ""}
            accuracy = {"detector": "", "protocol": "", "ood_dataset": "", "metric": "accuracy", "value": 0.9}
            scored = {**own, "detector": detector, "protocol": protocol, "metric": "auroc"}
            rows.append({**own, **accuracy})
            rows += [
                {**scored, "ood_dataset": name, "value": value}
                for name, value in zip(ood, values, strict=True)
                if value is not None
            ]
    return pd.DataFrame(rows, columns=METRICS).astype({"seed": int, "value": float})


def make_results(
    metrics: pd.DataFrame, missing: Mapping[Key, str] | None = None, cards: Mapping[Key, Any] | None = None
) -> Results:
    """Results with these metrics and cards, of no folder."""
    results = Results(Path("results/none"), {}, missing or {})
    results.__dict__.update(metrics=metrics.drop_duplicates(ignore_index=True), cards=cards or {})
    return results


def make_study(*variants: str, ood: Sequence[str] = OOD, detectors: Sequence[str] = ("baseline",)) -> Study:
    """A study of these variants, the first their control, whose OOD sets are in groups if they are OOD."""
    groups = GROUPS if tuple(ood) == OOD else {}
    controls = dict.fromkeys(variants[1:], variants[:1])
    return Study(PLACE[:1], tuple(ood), PLACE[1:], variants, tuple(detectors), groups=groups, controls=controls)


def make_selection(*studies: Study, seeds: Sequence[int] = (0, 1), **titles: str) -> Selection:
    """A selection of these studies."""
    stated = {"fig": {"method": "fig"}, "fig-k0": {"method": "fig", "teacher": "vgg19"}}
    return Selection(studies, tuple(seeds), titles or {"digits": "Digits"}, stated)


def write_run(run: Path, selection: Selection) -> None:
    """Write every file that a target needs of the selection's discriminators, of standard and FIG."""
    draw = np.random.default_rng(0)
    for key in selection.list_keys():
        folder = run.joinpath("discriminators", *map(str, key))
        (folder / "scores").mkdir(parents=True)
        level = {"standard": 0.5, "fig": 0.8}[key[2]] + 0.01 * key[3]
        for detector in selection.studies[0].detectors:
            sets = {name: draw.normal(size=20) for name in ("id", *OOD)}
            np.savez(folder / "scores" / f"{detector}.npz", **sets)
            step = {"standard": 0.02, "fig": 0.03}[key[2]]
            aurocs = {key[2]: {key[3]: [level, level + step, level + 2 * step]}}
            metrics = make_metrics(aurocs, detector)
            scored = metrics[metrics["metric"] == "auroc"]
            rejected = scored.assign(metric="fpr95_ood_positive", value=1 - scored["value"])
            pd.concat([metrics, rejected]).to_csv(folder / "metrics.csv", index=False)
        card = {"key": "key", "settings": {"method": {"K": 0.1}}, "architecture": {"classes": 10, "width": 1.0}}
        (folder / "discriminator.json").write_text(json.dumps(card))
        steps = np.arange(10, 60, 10)
        history = pd.DataFrame({"iteration": steps, "id_confidence": 0.9, "id_energy": -8.0})
        if key[2] == "fig":
            history = history.assign(generated_confidence=np.linspace(0.9, 0.2, 5), generated_energy=-1.0)
        history.to_csv(folder / "history.csv", index=False)
        images = draw.integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)
        confidence = np.full(16, 0.97)
        np.savez(folder / "samples.npz", images=images, confidence=confidence, predicted=np.arange(16))
        points = {"test": draw.normal(size=(4, 2)), "labels": np.arange(4), "generated": np.ones((2, 2))}
        np.savez(folder / "embedding.npz", **points, confidence=confidence[:2], drawn=30, above=2, confident=0.9)
        chains = {"wanted": "cat", "found": 3, "chains": 64, "steps": 500, "mean_confidence": 0.5}
        predicted = np.array(["cat", "dog", "cat"])
        np.savez(folder / "chains.npz", images=images[:3], confidence=confidence[:3], predicted=predicted, **chains)
    measured = {"id_dataset": PLACE[0], "network": PLACE[1], "width": 1.0, "size": 32, "device": "cpu"}
    measured |= {"precision": "float32", "batch": 8, "steps": 11.5, "images": 16, "seconds": 2.0}
    path = run / "throughput" / PLACE[0] / f"{PLACE[1]}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(measured | {"images_per_second": 8.0}))


def write_images(data: Path) -> list[Path]:
    """Write prepared test images of the ID data set and the OOD sets."""
    paths = [data / "8" / name / "test.npy" for name in (PLACE[0], *OOD)]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True)
        np.save(path, np.random.default_rng(number).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8))
    return paths


def read_text(figure: Figure) -> str:
    """Everything that is written in a figure."""
    return " ".join(" ".join(each.get_text() for each in figure.findobj(Text)).split())


def read_notes(made: Made) -> str:
    """Everything that is written below the tables and in the figure of a target."""
    notes = [note for table in made.tables for note in (table.caption, *table.notes)]
    return " ".join([*notes, *([read_text(made.figure)] if made.figure else [])])
