"""Figure 2: what a student gains by samples of one teacher or another."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fig.report.aurocs import aurocs, gains, over_seeds, over_sets
from fig.report.drawing import DPI, annotated, empty
from fig.report.studies import Study
from fig.report.titles import network_title, ood_titles

AVERAGE = "average"
CELL = (0.72, 0.4)  # inches
PLACE = ["id_dataset", "network", "variant"]


def improvements(metrics: pd.DataFrame, studies: Sequence[Study], seeds: Sequence[int]) -> pd.DataFrame:
    """Improvement of AUROC over standard, paired by seed: id_dataset, network, variant, ood_dataset, mean, sd, seeds.

    Mean and standard deviation are over seeds, missing where one is; the OOD set `average` is the mean over all sets.
    """
    gained = gains(aurocs(metrics, studies, seeds))
    averaged = over_sets(gained, "gain").assign(ood_dataset=AVERAGE)
    return over_seeds(pd.concat([gained, averaged]), [*PLACE, "ood_dataset"], "gain")


def teacher_title(variant: str, stated: Mapping[str, Any]) -> str:
    """What a variant's teacher is called, by what the configuration states of the variant."""
    if stated.get("method") == "scratch":
        return "none: from scratch"
    if "teacher" in stated:
        network, _, kind = stated["teacher"].partition("/")
        return f"{network_title(network)}{f' ({kind})' if kind else ''}, fixed"
    return "the student itself (FIG)" if stated.get("method") == "fig" else variant


def draw_improvements(axes: Axes, means: pd.DataFrame, deviations: pd.DataFrame, most: float) -> Any:
    """A heat map with its values in points of per cent; rows and columns are labelled as the table is."""
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


def figure_of_improvements(
    values: pd.DataFrame, variants: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str], note: str = ""
) -> Figure:
    """A heat map for each student that has any value: rows are teachers, columns OOD sets.

    `variants` is what the configuration states.
    """
    grouped = values.groupby(["id_dataset", "network"], sort=False)
    students = [(student, table) for student, table in grouped if table["mean"].notna().any()]
    if not students:
        return empty(f"There is no improvement to be shown. {note}")
    rows = [table["variant"].nunique() for _, table in students]
    columns = max(table["ood_dataset"].nunique() for _, table in students)
    size = (1.7 + CELL[0] * columns, sum(CELL[1] * count + 1.35 for count in rows))
    figure = Figure(figsize=size, layout="constrained", dpi=DPI)
    axes = figure.subplots(len(students), 1, squeeze=False, height_ratios=rows)[:, 0]
    most = 100 * values["mean"].abs().max()
    for each, ((id_dataset, network), table) in zip(axes, students, strict=True):
        order = list(dict.fromkeys(table["variant"])), list(dict.fromkeys(table["ood_dataset"]))
        means, deviations = (
            100 * table.pivot(index="variant", columns="ood_dataset", values=name).loc[order] for name in ("mean", "sd")
        )
        called = {AVERAGE: AVERAGE} | ood_titles([name for name in order[1] if name != AVERAGE], titles)
        means.index = [teacher_title(name, variants.get(name, {})) for name in means.index]
        means.columns = [called[name] for name in means.columns]
        image = draw_improvements(each, means, deviations, most)
        each.set_title(f"student {network_title(network)} on {titles.get(id_dataset, id_dataset)}", loc="left")
        each.set_ylabel("teacher")
    figure.colorbar(image, ax=axes, label="gain (points)", fraction=0.03, pad=0.01, aspect=40)
    about = "AUROC less that of standard, in points of per cent, paired by seed: mean ± standard deviation over seeds."
    return annotated(figure, about, note)
