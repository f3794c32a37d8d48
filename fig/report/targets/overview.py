"""What FIG does to one classifier, in one picture: what it is sure about, how it scores images, and its AUROC."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure, SubFigure

from fig.report.measures import NAMES, PATCHED, PLACE, STANDARD, ask_comparable, average_over_sets, find_comparable
from fig.report.plots import COLOURS, DPI, add_notes, make_empty, note_left_out
from fig.report.results import Arrays, Results, note_missing
from fig.report.targets import Made
from fig.report.targets.scores import count_scores, draw_histogram
from fig.report.titles import ood_titles, place_title
from fig.study.selection import Key, Selection

SHOWN = 7  # low-entropy samples of each discriminator
TITLES = {STANDARD: "Before: the classifier as trained", PATCHED: "After: the same classifier, fine-tuned by FIG"}
SIZE = (9.6, 3.6)  # inches
ROWS = ["variant", "seed", "detector", "samples", "confidence", "auroc"]


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
    pairs = find_pairs(results, selection)
    places = list(dict.fromkeys(key[:2] for key in selection.list_keys()))
    missing = note_missing({key: reason for key, reason in results.missing.items() if key[2] in TITLES})
    if not pairs:
        figure = make_empty(f"No classifier is evaluated both as trained and after FIG. {missing}")
        return Made(figure=figure, figure_values=pd.DataFrame(columns=[*PLACE, *ROWS]))
    place, seed = pairs[0]
    sides = {name: read_side(results, selection, (*place, name, seed)) for name in TITLES}
    values = [
        (*place, name, seed, side.detector, len(side.samples["confidence"]), side.confidence, side.auroc)
        for name, side in sides.items()
    ]
    seeds = f"{place_title(*place, selection.titles)}, seed {seed}, one of {len(selection.seeds)}."
    figure = add_notes(draw_sides(sides, selection), seeds, note_left_out(1, len(places)), missing)
    return Made(figure=figure, figure_values=pd.DataFrame(values, columns=[*PLACE, *ROWS]))


def find_pairs(results: Results, selection: Selection) -> list[tuple[tuple[str, str], int]]:
    """List each place (ID data set, network) and seed that has scores of both sides."""
    both = [(key[:2], key[3]) for key in results.folders if key[2] == STANDARD]
    patched = {(key[:2], key[3]) for key in results.folders if key[2] == PATCHED}
    detectors = find_detectors(selection)
    return [
        (place, seed)
        for place, seed in both
        if (place, seed) in patched
        and all(results.scores((*place, name, seed), detectors[*place, name]) is not None for name in TITLES)
    ]


def find_detectors(selection: Selection) -> dict[tuple[str, str, str], str]:
    """Return the detector by which each variant of a place is compared."""
    asked = ask_comparable(selection.studies)
    return {(row[0], row[1], row[2]): row[3] for row in asked[[*NAMES, "detector"]].itertuples(index=False, name=None)}


def read_side(results: Results, selection: Selection, key: Key) -> Side:
    """Read what the picture shows of a discriminator."""
    detector = find_detectors(selection)[key[:3]]
    scores = results.scores(key, detector)
    assert scores is not None, "find_pairs lists those with scores"
    means = average_over_sets(find_comparable(results.metrics, selection)).set_index([*NAMES, "seed"])["value"]
    asked = ask_comparable(selection.studies)
    sets = asked.loc[(asked[NAMES] == list(key[:3])).all(axis=1), "ood_dataset"]
    shown = {"id": scores["id"], **{name: scores[name] for name in sets if name in scores}}
    return Side(results.arrays("samples", [key[2]])[key], shown, detector, float(means.loc[key]))


def draw_sides(sides: dict[str, Side], selection: Selection) -> Figure:
    """Draw a row for each side: its low-entropy samples with their confidence, then its scores with its AUROC."""
    figure = Figure(figsize=SIZE, layout="constrained", dpi=DPI)
    parts = figure.subfigures(len(sides), 2, width_ratios=[2.1, 1], wspace=0.02, squeeze=False)
    for (left, right), (name, side) in zip(parts, sides.items(), strict=True):
        draw_samples(left, name, side)
        draw_scores(right, side, selection)
    return figure


def draw_samples(part: SubFigure, name: str, side: Side) -> None:
    """Draw the first low-entropy samples."""
    mean = f"images drawn from what it is surest about: mean confidence {100 * side.confidence:.0f} %"
    part.suptitle(f"{TITLES[name]}\n{mean}", x=0.01, ha="left", fontsize=9)
    rows = zip(side.samples["images"], side.samples["predicted"], side.samples["confidence"], strict=True)
    for axes, (image, predicted, confidence) in zip(part.subplots(1, SHOWN), rows, strict=False):
        axes.imshow(image, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_anchor("N")  # directly below the title
        axes.set_xlabel(f"“{predicted}”\n{100 * confidence:.0f} %", fontsize=8, labelpad=2)


def draw_scores(part: SubFigure, side: Side, selection: Selection) -> None:
    """Draw the histograms of the scores of ID and OOD images, with the AUROC in the title."""
    axes = part.subplots()
    bins = count_scores(side.scores)
    others = [name for name in side.scores if name != "id"]
    titles = ood_titles(others, selection.titles)
    bins["dataset"] = bins["dataset"].map(lambda name: titles.get(name, name))
    looks = {titles[name]: {"color": COLOURS[1 + i % 6]} for i, name in enumerate(others)}
    draw_histogram(axes, bins, looks)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(f"AUROC {100 * side.auroc:.1f} %", loc="left", fontsize=9, fontweight="bold")
    axes.set_xlabel(f"{side.detector} score: how much an image looks ID", fontsize=8)
    axes.legend(frameon=False, fontsize=7, loc="best")
