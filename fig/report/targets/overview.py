"""What FIG does to one classifier, in one picture: what it is sure about, how it scores images, and its AUROC."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure, SubFigure

from fig.report.measures import NAMES, PATCHED, STANDARD, ask_comparable, average_over_sets, find_comparable
from fig.report.plots import DPI, add_notes, hide_frames, make_empty, note_left_out
from fig.report.results import KEY, Arrays, Results, note_missing, read_laid_out
from fig.report.targets import Made
from fig.report.targets.samples import draw_images
from fig.report.targets.scores import choose_looks, count_scores, draw_histogram
from fig.report.titles import ood_titles, place_title
from fig.study.selection import Key, Selection

SHOWN = 7  # low-entropy samples of each discriminator
TITLES = {STANDARD: "Before: the classifier as trained", PATCHED: "After: the same classifier, fine-tuned by FIG"}
SIZE = (9.6, 3.6)  # inches
COLUMNS = [*KEY, "detector", "samples", "confidence", "auroc"]


@dataclass(frozen=True)
class Side:
    """One discriminator before or after FIG."""

    samples: Arrays
    scores: Arrays
    detector: str
    auroc: float  # mean over the OOD sets, a share of one; NaN where one is missing

    @property
    def confidence(self) -> float:
        """Mean confidence in its low-entropy samples."""
        return float(self.samples["confidence"].mean())


def make(results: Results, selection: Selection) -> Made:
    """Picture the first classifier of the study that has both sides, with one seed."""
    missing = note_missing({key: reason for key, reason in results.missing.items() if key[2] in TITLES})
    sides = read_sides(results, selection)
    if not sides:
        figure = make_empty(f"No classifier is evaluated both as trained and after FIG. {missing}")
        return Made(figure=figure, figure_values=pd.DataFrame(columns=COLUMNS))
    values = [
        (*key, each.detector, len(each.samples["confidence"]), each.confidence, each.auroc)
        for key, each in sides.items()
    ]
    key, places = next(iter(sides)), len({key[:2] for key in selection.list_keys()})
    where = f"{place_title(*key[:2], selection.titles)}, seed {key[3]}, one of {len(selection.seeds)}."
    figure = add_notes(draw_sides(sides, selection), where, note_left_out(1, places), missing)
    return Made(figure=figure, figure_values=pd.DataFrame(values, columns=COLUMNS))


def read_sides(results: Results, selection: Selection) -> dict[Key, Side]:
    """Read both sides of the first ID data set, network and seed that has scores of both; empty if there is no such."""
    asked = ask_comparable(selection.studies)
    aurocs = average_over_sets(find_comparable(results.metrics, selection)).set_index([*NAMES, "seed"])["value"]
    for place, seed in ((key[:2], key[3]) for key in results.folders if key[2] == STANDARD):
        keys = [key for name in TITLES if (key := (*place, name, seed)) in results.folders]
        found = {key: read_side(results, key, asked, aurocs[key]) for key in keys}
        sides = {key: side for key, side in found.items() if side}
        if len(sides) == len(TITLES):
            return sides
    return {}


def read_side(results: Results, key: Key, asked: pd.DataFrame, auroc: float) -> Side | None:
    """Read what the picture shows of a discriminator: None if it has no scores under the detector that compares it."""
    own = asked[(asked[NAMES] == list(key[:3])).all(axis=1)]
    detector = own["detector"].iloc[0]
    scores = results.scores(key, detector)
    if scores is None:
        return None
    sets = [name for name in own["ood_dataset"] if name in scores]
    samples = read_laid_out(results.folders[key] / "samples.npz")
    return Side(samples, {name: scores[name] for name in ("id", *sets)}, detector, auroc)


def draw_sides(sides: Mapping[Key, Side], selection: Selection) -> Figure:
    """Draw a row for each side: its low-entropy samples with their confidence, then its scores with its AUROC."""
    figure = Figure(figsize=SIZE, layout="constrained", dpi=DPI)
    parts = figure.subfigures(len(sides), 2, width_ratios=[2.1, 1], wspace=0.02, squeeze=False)
    for (left, right), (key, side) in zip(parts, sides.items(), strict=True):
        draw_samples(left, TITLES[key[2]], side)
        draw_scores(right, side, selection)
    return figure


def draw_samples(part: SubFigure, title: str, side: Side) -> None:
    """Draw the first low-entropy samples."""
    mean = f"images drawn from what it is surest about: mean confidence {100 * side.confidence:.0f} %"
    part.suptitle(f"{title}\n{mean}", x=0.01, ha="left", fontsize=9)
    axes = part.subplots(1, SHOWN)
    hide_frames(axes)
    for each in axes:
        each.set_anchor("N")  # directly below the title
    quoted = [f"“{predicted}”" for predicted in side.samples["predicted"]]
    draw_images(axes, {**side.samples, "predicted": np.array(quoted)})


def draw_scores(part: SubFigure, side: Side, selection: Selection) -> None:
    """Draw the histograms of the scores of ID and OOD images, with the AUROC in the title."""
    axes = part.subplots()
    titles = {"id": "id", **ood_titles([name for name in side.scores if name != "id"], selection.titles)}
    bins = count_scores({titles[name]: scores for name, scores in side.scores.items()})
    draw_histogram(axes, bins, choose_looks(titles.values()))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(f"AUROC {100 * side.auroc:.1f} %", loc="left", fontsize=9, fontweight="bold")
    axes.set_xlabel(f"{side.detector} score: how much an image looks ID", fontsize=8)
    axes.legend(frameon=False, fontsize=7, loc="best")
