"""The picture of mean ranks: methods along an axis, those joined that the critical difference does not tell apart."""

from math import isnan

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fig.report.statistics import Ranks, alike, ranks

FIG_COLOUR, COLOUR = "#b5322a", "#2e4057"


def picture(values: pd.DataFrame, dropped: int) -> tuple[Figure, pd.DataFrame]:
    """The picture of the ranks of methods by values (blocks, methods), and the ranks as a table.

    Blocks are OOD sets of an ID data set and network; `dropped` are those that are left out, as they lack seeds.
    """
    left_out = f"; {dropped} more lack seeds" if dropped else ""
    if values.empty or values.shape[1] < 2:
        figure = Figure(figsize=(6.4, 0.8), dpi=150)
        figure.text(0.5, 0.5, f"There is nothing to rank{left_out}.", ha="center", va="center")
        return figure, pd.DataFrame(columns=["variant", "mean_rank"])
    found = ranks(values.columns, values.to_numpy())
    p_value = "" if isnan(found.p_value) else f", Friedman p = {found.p_value:.2g}"
    blocks = f"{found.blocks} triples of ID data set, network and OOD set that all share{left_out}"
    table = pd.DataFrame({"variant": found.methods, "mean_rank": found.means}).sort_values("mean_rank")
    told = table.assign(blocks=found.blocks, critical_difference=found.critical, friedman_p=found.p_value)
    return diagram(found, f"Mean rank of AUROC{p_value}\nover {blocks}"), told


def diagram(found: Ranks, title: str) -> Figure:
    """Methods by mean rank, the best on the left, with bars over groups that are alike (Demšar, 2006)."""
    count = len(found.methods)
    left = (count + 1) // 2
    groups = alike(found)
    depth = 0.5 + 0.28 * len(groups)
    figure = Figure(figsize=(7.5, 1.5 + 0.3 * (left + 0.6 * len(groups))), layout="constrained", dpi=150)
    axes = figure.subplots()
    axes.set(xlim=(-0.6, count + 1.6), ylim=(depth + 0.5 * (left - 1) + 0.1, -1.1), yticks=[])
    axes.xaxis.tick_top()
    axes.spines[["left", "right", "bottom"]].set_visible(False)
    axes.spines["top"].set(position=("data", 0), bounds=(1, count))
    axes.set_xticks(range(1, count + 1))
    order = sorted(range(count), key=lambda number: found.means[number])
    for place, number in enumerate(order):
        row = place if place < left else count - 1 - place
        name_method(axes, found.methods[number], found.means[number], depth + 0.5 * row, place < left)
    for number, (low, high) in enumerate(groups):
        axes.plot([low - 0.05, high + 0.05], [0.35 + 0.28 * number] * 2, color="black", linewidth=4)
    axes.plot([1, 1 + found.critical], [-0.85, -0.85], color="black", linewidth=1.5, marker="|")
    axes.text(1 + found.critical / 2, -0.95, f"critical difference {found.critical:.2f}", ha="center", va="bottom")
    axes.set_title(title, fontsize="medium", loc="left", pad=12)
    return figure


def name_method(axes: Axes, name: str, mean: float, height: float, on_left: bool) -> None:
    """A method's name at the side, with a line to its mean rank on the axis."""
    end = axes.get_xlim()[0 if on_left else 1]
    colour = FIG_COLOUR if name == "fig" else COLOUR
    axes.plot([mean, mean, end], [0, height, height], color=colour, linewidth=1.2)
    text = f"{name}  {mean:.2f}"
    axes.text(
        end,
        height - 0.06,
        text,
        ha="left" if on_left else "right",
        va="bottom",
        color=colour,
        fontweight="bold" if name == "fig" else "normal",
    )
