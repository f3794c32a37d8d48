"""Figure 4: test images and low-entropy samples in a plane of the last features, before and after FIG."""

from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fig.report.plots import COLOURS, Style, add_legend, add_notes, make_empty, make_panels
from fig.report.results import Arrays, Results, note_missing, stack_tables
from fig.report.targets import Made
from fig.report.titles import place_title, variant_title
from fig.study.selection import Key, Selection

CLASSES = (*COLOURS[:6], "#f0e442", "#8c564b", "#999999", "#4c4cb8")  # the classes of an ID data set, in turn
ABOVE: Style = {"marker": "D", "color": "black", "s": 9}
BELOW: Style = {"marker": "D", "facecolor": "none", "edgecolor": "black", "s": 11}  # where none is confident enough
ABOUT = "t-SNE of the penultimate features: each panel has a plane of its own."


def make(results: Results, selection: Selection) -> Made:
    """The points of each discriminator, drawn and as values."""
    found = results.arrays("embedding")
    values = stack_tables({key: list_points(arrays) for key, arrays in found.items()})
    return Made(figure=draw_embeddings(found, selection.titles, note_missing(results.missing)), figure_values=values)


def list_points(arrays: Arrays) -> pd.DataFrame:
    """The points as rows: kind (test or sample), x, y, label (of a test image), confidence (of a sample)."""
    test = pd.DataFrame(arrays["test"], columns=["x", "y"]).assign(kind="test", label=arrays["labels"])
    samples = pd.DataFrame(arrays["generated"], columns=["x", "y"])
    samples = samples.assign(kind="sample", confidence=arrays["confidence"])
    both = pd.concat([test, samples], ignore_index=True)
    return both.astype({"label": "Int64"})[["kind", "x", "y", "label", "confidence"]]


def describe_samples(arrays: Arrays) -> str:
    """How many samples are shown, and why these."""
    share = f"{arrays['above']:,} of {arrays['drawn']:,} low-entropy samples above confidence {arrays['confident']:g}"
    if arrays["above"]:
        return share
    found = arrays["confidence"]
    return f"{share};\nshown are the {len(found)} nearest to it ({found.min():.2f} to {found.max():.2f})"


def draw_embeddings(embeddings: Mapping[Key, Arrays], titles: Mapping[str, str], note: str) -> Figure:
    """Draw a row for each ID data set and network, a column for each variant.

    `embeddings[key]` holds the points of `test` images (n, 2) and their `labels`, of low-entropy samples (m, 2) as
    `generated` and their `confidence`; how many were `drawn`, and how many of them `above` the confidence `confident`.
    """
    if not embeddings:
        return make_empty(f"There is no embedding to show. {note}")
    rows = list(dict.fromkeys((id_dataset, network) for id_dataset, network, *_ in embeddings))
    columns = list(dict.fromkeys(key[2] for key in embeddings))
    figure, axes = make_panels(len(rows), len(columns), width=3.5, height=3.4)
    found = {key[:3]: arrays for key, arrays in embeddings.items()}
    for (place, variant), each in zip(product(rows, columns), axes.flat, strict=True):
        each.set_title(f"{place_title(*place, titles)} · {variant_title(variant)}")
        if (*place, variant) in found:
            draw_embedding(each, found[*place, variant])
        else:
            each.axis("off")
            each.text(0.5, 0.5, "missing", ha="center", va="center", transform=each.transAxes)
    circle = Line2D([], [], marker="o", linestyle="", color="0.5", markersize=4, label="test images, coloured by class")
    diamond = Line2D([], [], marker="D", linestyle="", color="black", markersize=4, label="low-entropy samples")
    add_legend(figure, circle, diamond)
    return add_notes(figure, ABOUT, note)


def draw_embedding(axes: Axes, arrays: Arrays) -> None:
    """Draw test images as dots coloured by class, samples as diamonds: full above the confidence, else hollow."""
    colours = np.array(CLASSES)[arrays["labels"] % len(CLASSES)]
    x, y = arrays["test"].T
    axes.scatter(x, y, s=5, c=colours, linewidth=0, alpha=0.75)
    x, y = arrays["generated"].T
    axes.scatter(x, y, linewidth=0.6, **(ABOVE if arrays["above"] else BELOW))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    axes.set_xlabel(describe_samples(arrays), fontsize=7)
