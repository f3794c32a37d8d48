"""Figure 5: what a discriminator takes for one wanted class, where chains run on and no rule stops them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fig.report.drawing import DPI, annotated, empty
from fig.report.records import Key
from fig.report.titles import network_title, variant_title

SIDE = 0.85  # inches of an image

Arrays = Mapping[str, NDArray]


def told(drawn: Arrays) -> str:
    """What is shown of the chains, and how many ended in the wanted class."""
    wanted, found = str(drawn["wanted"]), drawn["found"]
    if not wanted:
        first = "the first"
    elif found:
        first = f"the first of {found:,} predicted as {wanted}"
    else:
        first = f"none is predicted as {wanted}, so the most confident"
    mean = 100 * drawn["mean_confidence"]
    return f"{first}, of {drawn['chains']:,} chains of {drawn['steps']:,} steps with mean confidence {mean:.0f} %"


def images_of(drawn: Arrays) -> pd.DataFrame:
    """The images that are shown as rows: predicted and confidence, and what is told of all chains."""
    told_of_all = ("wanted", "found", "chains", "steps", "mean_confidence")
    rows = pd.DataFrame({"predicted": drawn["predicted"], "confidence": drawn["confidence"]})
    return rows.assign(**{name: drawn[name].item() for name in told_of_all})


def figure_of_chains(chains: Mapping[Key, Arrays], titles: Mapping[str, str], note: str = "") -> Figure:
    """A row of images for each discriminator, with the predicted class and the confidence of each.

    `chains[key]` holds `images` (n, size, size, 3), `confidence` (n,) and `predicted` (n,), names of classes; the
    `wanted` class or none, how many of the `chains` of so many `steps` it was `found` for, and their `mean_confidence`.
    """
    if not chains:
        return empty(f"There is no generated sample to be shown. {note}")
    columns = max(len(drawn["images"]) for drawn in chains.values())
    figure = Figure(figsize=(max(6.4, SIDE * columns), (SIDE + 0.68) * len(chains)), layout="constrained", dpi=DPI)
    parts = np.atleast_1d(figure.subfigures(len(chains)))
    for part, ((id_dataset, network, variant, _), drawn) in zip(parts, chains.items(), strict=True):
        named = f"{titles.get(id_dataset, id_dataset)} · {network_title(network)} · {variant_title(variant)}"
        part.suptitle(f"{named}\n{told(drawn)}", x=0.01, ha="left", fontsize=8)
        axes = part.subplots(1, columns, squeeze=False)[0]
        for each in axes:
            each.set(xticks=[], yticks=[])
            each.spines[:].set_visible(False)
        shown = zip(axes, drawn["images"], drawn["predicted"], drawn["confidence"], strict=False)
        for each, image, predicted, confidence in shown:
            each.imshow(image, interpolation="nearest")
            each.set_xlabel(f"{predicted}\n{100 * confidence:.0f} %", fontsize=7, labelpad=2)
    return annotated(figure, note)
