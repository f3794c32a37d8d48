"""Discriminators, scores and results in the forms in which OpenOOD v1.5 reads and writes them."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fig.discriminator import Architecture, Discriminator
from fig.files import replacing
from fig.metrics import Scores, auroc, fpr95_ood_positive
from fig.networks import SMALL
from fig.networks.heads import NORMALISED, ScaledHead, weights_of
from fig.networks.weights import name_as_openood

MEASURES = ("FPR@95", "AUROC", "AUPR_IN", "AUPR_OUT", "ACC")
POSTPROCESSORS = {"baseline": "msp", "energy": "ebo"}  # OpenOOD's names of detectors; it has the others' names too
OOD_LABEL = -1

Groups = Mapping[str, Sequence[str]]  # near and far: the names of their OOD sets
Results = dict[str, list[float]]  # MEASURES in per cent, by OOD set, and of each group by its name and "ood"


@dataclass(frozen=True)
class Scored:
    """A data set's images, scored: what OpenOOD calls conf, pred and label."""

    scores: Scores  # (N,), higher = more in-distribution
    predicted: NDArray[np.int64]  # (N,)
    labels: NDArray[np.int64]  # (N,); OOD_LABEL for OOD images


def check_layout(architecture: Architecture) -> None:
    """Raise ValueError unless a discriminator's network is OpenOOD's ResNet18_32x32 but for names."""
    wanted = {"network": "resnet18", "width": 1.0, "factory": ""}
    for name, value in wanted.items():
        if (found := getattr(architecture, name)) != value:
            raise ValueError(f"{name} is {found!r}, but OpenOOD's ResNet18_32x32 has {value!r}: no checkpoint for it")
    if architecture.head not in ("linear", *NORMALISED):
        raise ValueError(f"head is {architecture.head!r}, which no linear layer is in testing: no checkpoint for it")
    if architecture.size >= SMALL:
        raise ValueError(f"size is {architecture.size}: OpenOOD's ResNet18_32x32 is for images below {SMALL} pixels")


def write_checkpoint(folder: Path, discriminator: Discriminator) -> None:
    """Write best.ckpt, which OpenOOD's ResNet18_32x32 loads, and normalization.json, the mean and std of its inputs.

    The last layer is what it is in testing: that of a head which normalises in training has its scale.
    """
    architecture = discriminator.architecture
    check_layout(architecture)
    weights = {name: value.cpu().contiguous() for name, value in discriminator.network.state_dict().items()}
    for name, module in discriminator.network.named_modules():
        if isinstance(module, ScaledHead):
            weights[f"{name}.weight"] = weights_of(module)[0].detach().cpu()
    with replacing(folder / "best.ckpt") as partial:
        torch.save(name_as_openood(weights), partial)
    with replacing(folder / "normalization.json") as partial:
        partial.write_text(json.dumps({"mean": architecture.mean, "std": architecture.std}) + "\n")


def measure(inside: Scored, outside: Scored) -> list[float]:
    """MEASURES of scored ID and OOD images, in per cent; the areas below precision and recall are trapezoids."""
    from sklearn.metrics import auc, precision_recall_curve

    is_id = np.repeat([1, 0], [len(inside.scores), len(outside.scores)])
    scores = np.concatenate([inside.scores, outside.scores])
    areas = []
    for positive, ordered in ((is_id, scores), (1 - is_id, -scores)):
        precision, recall, _ = precision_recall_curve(positive, ordered)
        areas.append(float(auc(recall, precision)))
    accuracy = float(np.mean(inside.predicted == inside.labels))
    fpr, area = fpr95_ood_positive(inside.scores, outside.scores), auroc(inside.scores, outside.scores)
    return [100 * value for value in (fpr, area, *areas, accuracy)]


def measure_groups(inside: Scored, outside: Mapping[str, Scored], groups: Groups) -> Results:
    """MEASURES of every OOD set, and behind those of each group their mean: of near as nearood."""
    found: Results = {}
    for group, names in groups.items():
        of_sets = {name: measure(inside, outside[name]) for name in names}
        found |= of_sets | {f"{group}ood": np.mean(list(of_sets.values()), axis=0).tolist()}
    return found


def write_scores(folder: Path, scored: Mapping[str, Scored]) -> None:
    """Write <data set>.npz with pred, conf and label for each data set, as OpenOOD's evaluator saves scores."""
    for name, each in scored.items():
        with replacing(folder / f"{name}.npz") as partial, partial.open("wb") as file:
            np.savez(file, pred=each.predicted, conf=each.scores, label=each.labels)


def write_results(path: Path, results: Results) -> None:
    """Write one run's results as OpenOOD's evaluator does: ood.csv, a row for each OOD set and group."""
    write_rows(path, "dataset", {name: [f"{value:.2f}" for value in values] for name, values in results.items()})


def write_means(path: Path, runs: Sequence[Results]) -> None:
    """Write the mean over runs and their deviation (ddof 0), as OpenOOD's scripts/eval_ood.py does."""
    rows = {}
    for name in runs[0]:
        values = np.array([run[name] for run in runs])  # runs, measures
        pairs = zip(values.mean(0), values.std(0), strict=True)
        rows[name] = [f"{mean:.2f} ± {deviation:.2f}" for mean, deviation in pairs]
    write_rows(path, "", rows)


def write_rows(path: Path, corner: str, rows: Mapping[str, Sequence[str]]) -> None:
    """Write a table of MEASURES as CSV."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([corner, *MEASURES])
        writer.writerows([name, *values] for name, values in rows.items())
