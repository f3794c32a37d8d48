"""Figure 2: what a student gains by samples of one teacher or another."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from fig.report.measures import (
    NAMES,
    average_over_seeds,
    average_over_sets,
    find_comparable,
    find_lacking,
    gains_over_standard,
    gather_rows,
)
from fig.report.paper import AVERAGE
from fig.report.plots import DPI, add_notes, make_empty
from fig.report.results import Results, note_missing
from fig.report.targets import Made
from fig.report.titles import network_title, ood_titles
from fig.settings import Json
from fig.study.selection import Selection

CELL = (0.72, 0.4)  # inches
ABOUT = "AUROC less that of standard, in points of per cent, paired by seed: mean ± standard deviation over seeds."


def make(results: Results, selection: Selection) -> Made:
    """Improvement of AUROC over standard, paired by seed: id_dataset, network, variant, ood_dataset, mean, sd, seeds.

    Mean and standard deviation are over seeds, NaN where one is missing; the OOD set `average` is the mean over all.
    """
    aurocs = find_comparable(results.metrics, selection)
    gains = gains_over_standard(aurocs)
    both = pd.concat([gather_rows(gains, NAMES), average_over_sets(gains).assign(ood_dataset=AVERAGE)])
    values = average_over_seeds(both, [*NAMES, "ood_dataset"])
    note = note_missing(results.missing_with(find_lacking(aurocs)))
    return Made(figure=draw_teachers(values, selection, note), figure_values=values)


def teacher_title(variant: str, stated: Mapping[str, Json]) -> str:
    """The name of a variant's teacher, by what the configuration states of the variant."""
    if stated.get("method") == "scratch":
        return "none: from scratch"
    if "teacher" in stated:
        network, _, kind = stated["teacher"].partition("/")
        return f"{network_title(network)}{f' ({kind})' if kind else ''}, fixed"
    return "the student itself (FIG)" if stated.get("method") == "fig" else variant


def draw_teachers(values: pd.DataFrame, selection: Selection, note: str) -> Figure:
    """Draw a heat map for each student that has any value: rows are teachers, columns OOD sets."""
    grouped = values.groupby(["id_dataset", "network"], sort=False)
    students = [(student, table) for student, table in grouped if table["mean"].notna().any()]
    if not students:
        return make_empty(f"There is no improvement to show. {note}")
    titles = selection.titles
    rows = [table["variant"].nunique() for _, table in students]
    columns = max(table["ood_dataset"].nunique() for _, table in students)
    size = (1.7 + CELL[0] * columns, sum(CELL[1] * count + 1.35 for count in rows))
    figure = Figure(figsize=size, layout="constrained", dpi=DPI)
    axes = figure.subplots(len(students), 1, squeeze=False, height_ratios=rows)[:, 0]
    most = 100 * values["mean"].abs().max()
    for each, ((id_dataset, network), table) in zip(axes, students, strict=True):
        variants, sets = (list(dict.fromkeys(table[name])) for name in ("variant", "ood_dataset"))
        means, deviations = (
            100 * table.pivot(index="variant", columns="ood_dataset", values=name).loc[variants, sets]
            for name in ("mean", "sd")
        )
        named = {AVERAGE: AVERAGE} | ood_titles([name for name in sets if name != AVERAGE], titles)
        means.index = [teacher_title(name, selection.variants.get(name, {})) for name in variants]
        means.columns = [named[name] for name in sets]
        image = draw_gain_map(each, means, deviations, most)
        each.set_title(f"student {network_title(network)} on {titles.get(id_dataset, id_dataset)}", loc="left")
        each.set_ylabel("teacher")
    figure.colorbar(image, ax=axes, label="gain (points)", fraction=0.03, pad=0.01, aspect=40)
    return add_notes(figure, ABOUT, note)


def draw_gain_map(axes: Axes, means: pd.DataFrame, deviations: pd.DataFrame, most: float) -> AxesImage:
    """Draw a heat map with its values in points of per cent; rows and columns are labelled as the table is."""
    image = axes.imshow(means, cmap="PuOr", vmin=-most, vmax=most, aspect="auto")
    axes.set_xticks(range(means.shape[1]), means.columns, rotation=38, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(means.shape[0]), means.index)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for (row, column), mean in np.ndenumerate(means.to_numpy()):
        sd = deviations.iat[row, column]
        text = "missing" if np.isnan(mean) else f"{mean:+.1f}" + ("" if np.isnan(sd) else f"\n± {sd:.1f}")
        colour = "white" if abs(mean) > 0.55 * most else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour, linespacing=1.1)
    axes.axvline(means.shape[1] - 1.5, color="white", linewidth=4)
    return image
