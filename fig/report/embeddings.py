"""Figure 4: test images and generated samples as a discriminator's last features see them, before and after FIG."""

from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from fig.report.drawing import COLOURS, annotated, empty, legend, panels
from fig.report.records import Key
from fig.report.titles import network_title, variant_title

CLASSES = (*COLOURS[:6], "#f0e442", "#8c564b", "#999999", "#4c4cb8")  # the classes of an ID data set, in turn
ABOVE = {"marker": "D", "color": "black", "s": 9}
BELOW = {"marker": "D", "facecolor": "none", "edgecolor": "black", "s": 11}  # where none is confident enough

Arrays = Mapping[str, NDArray]


def told(drawn: Arrays) -> str:
    """How many generated samples are shown, and why these."""
    share = f"{drawn['above']:,} of {drawn['drawn']:,} generated samples above confidence {drawn['confident']:g}"
    if drawn["above"]:
        return share
    found = drawn["confidence"]
    return f"{share}; shown are the {len(found)} nearest to it ({found.min():.2f} to {found.max():.2f})"


def points_of(drawn: Arrays) -> pd.DataFrame:
    """The points as rows: kind (test or generated), x, y, label (of a test image), confidence (of a sample)."""
    test = pd.DataFrame(drawn["test"], columns=["x", "y"]).assign(kind="test", label=drawn["labels"])
    generated = pd.DataFrame(drawn["generated"], columns=["x", "y"])
    generated = generated.assign(kind="generated", confidence=drawn["confidence"])
    both = pd.concat([test, generated], ignore_index=True)
    return both.astype({"label": "Int64"})[["kind", "x", "y", "label", "confidence"]]


def draw_embedding(axes: Axes, drawn: Arrays) -> None:
    """Test images as dots coloured by class, generated samples as diamonds: full above the confidence, else hollow."""
    colours = np.array(CLASSES)[drawn["labels"] % len(CLASSES)]
    axes.scatter(*drawn["test"].T, s=5, c=colours, linewidth=0, alpha=0.75)
    axes.scatter(*drawn["generated"].T, linewidth=0.6, **(ABOVE if drawn["above"] else BELOW))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    axes.set_xlabel(told(drawn), fontsize=7)


def figure_of_embeddings(embeddings: Mapping[Key, Arrays], titles: Mapping[str, str], note: str = "") -> Figure:
    """A row for each ID data set and network, a column for each variant.

    `embeddings[key]` holds the points of `test` images (n, 2) and their `labels`, of `generated` samples (m, 2) and
    their `confidence`; how many were `drawn` and how many of them were `above` the confidence `confident`.
    """
    if not embeddings:
        return empty(f"There is no embedding to be shown. {note}")
    rows = list(dict.fromkeys(key[:2] for key in embeddings))
    columns = list(dict.fromkeys(key[2] for key in embeddings))
    figure, axes = panels(len(rows), len(columns), width=3.5, height=3.4)
    found = {key[:3]: drawn for key, drawn in embeddings.items()}
    for ((id_dataset, network), variant), each in zip(product(rows, columns), axes.flat, strict=True):
        each.set_title(f"{titles.get(id_dataset, id_dataset)} · {network_title(network)} · {variant_title(variant)}")
        if (id_dataset, network, variant) in found:
            draw_embedding(each, found[id_dataset, network, variant])
        else:
            each.axis("off")
            each.text(0.5, 0.5, "missing", ha="center", va="center", transform=each.transAxes)
    circle = Line2D([], [], marker="o", linestyle="", color="0.5", markersize=4, label="test images, coloured by class")
    diamond = Line2D([], [], marker="D", linestyle="", color="black", markersize=4, label="generated samples")
    legend(figure, circle, diamond)
    return annotated(figure, "t-SNE of the penultimate features: each panel has a plane of its own.", note)
