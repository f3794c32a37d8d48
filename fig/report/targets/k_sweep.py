"""Figure 1: AUROC against K, the share of low-entropy samples in a batch."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fig.report.measures import (
    NAMES,
    STANDARD,
    average_over_seeds,
    average_over_sets,
    find_comparable,
    find_lacking,
)
from fig.report.plots import COLOURS, MARKERS, Style, add_legend, add_notes, make_empty, make_panels
from fig.report.results import Results, note_missing
from fig.report.targets import Made
from fig.report.titles import network_title
from fig.study.selection import Selection

DODGE = 0.006  # of the width of a panel, between the points of two networks
DASHES = (0, (5, 3))


def make(results: Results, selection: Selection) -> Made:
    """AUROC averaged over OOD sets against K: id_dataset, network, variant, K, mean, sd, seeds; standard has no K.

    Mean and standard deviation are over seeds, and NaN where one discriminator or OOD set is missing.
    """
    aurocs = find_comparable(results.metrics, selection)
    values = average_over_seeds(average_over_sets(aurocs), NAMES)
    shares = {key[:3]: card["settings"].get("method", {}).get("K", np.nan) for key, card in results.cards.items()}
    values.insert(3, "K", [shares.get(names, np.nan) for names in values[NAMES].itertuples(index=False, name=None)])
    note = note_missing(results.missing_with(find_lacking(aurocs)))
    return Made(figure=draw_k_sweep(values, selection, note), figure_values=values)


def draw_k_sweep(values: pd.DataFrame, selection: Selection, note: str) -> Figure:
    """Draw a panel for each ID data set, a line with error bars (standard deviation over seeds) for each network."""
    if values["mean"].isna().all():
        return make_empty(f"There is no AUROC to show. {note}")
    sets = values["id_dataset"].unique()
    figure, axes = make_panels(1, len(sets), width=3.4, height=2.9)
    for each, name in zip(axes.flat, sets, strict=True):
        draw_k_curves(each, values[values["id_dataset"] == name])
        each.set_title(selection.titles.get(name, name))
    axes[0, 0].set_ylabel("AUROC, mean over OOD sets (%)")
    add_legend(figure, Line2D([], [], color="0.3", linewidth=1.1, linestyle=DASHES, label=STANDARD))
    return add_notes(figure, f"Bars: standard deviation over {values['seeds'].max()} seeds.", note)


def draw_k_curves(axes: Axes, values: pd.DataFrame) -> None:
    """Draw the lines of one ID data set: AUROC in per cent of each network against K, that of standard dashed."""
    networks = values["network"].unique()
    if values["mean"].isna().all():
        axes.text(0.5, 0.5, "nothing yet", ha="center", va="center", transform=axes.transAxes)
        axes.set_yticks([])
    for number, network in enumerate(networks):
        rows = values[values["network"] == network]
        curve = rows.dropna(subset=["K", "mean"]).sort_values("K")
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        aside = DODGE * (number - (len(networks) - 1) / 2)
        style: Style = {"linewidth": 1.5, "elinewidth": 1, "capsize": 2, "label": network_title(network)}
        where, means, bars = np.sqrt(curve["K"]) + aside, 100 * curve["mean"], 100 * curve["sd"].fillna(0)
        axes.errorbar(where, means, bars, color=colour, marker=marker, markersize=4.5, **style)
        for mean in rows.loc[rows["variant"] == STANDARD, "mean"].dropna():
            axes.axhline(100 * mean, color=colour, linewidth=1.1, linestyle=DASHES)
    ticks = np.unique(values["K"].dropna())
    axes.set_xticks(np.sqrt(ticks), [f"{tick:g}" for tick in ticks])
    axes.set_xlabel("low-entropy share K (square-root scale)")
