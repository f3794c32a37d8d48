"""Figure 1: AUROC against K, the low-entropy share of a batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fig.report.aurocs import aurocs, over_seeds, over_sets
from fig.report.drawing import COLOURS, MARKERS, annotated, dashed, empty, legend, panels
from fig.report.names import STANDARD
from fig.report.records import Key
from fig.report.studies import Study
from fig.report.titles import network_title

DODGE = 0.006  # of the width of a panel, between the points of two networks


def share_of(card: Mapping[str, Any]) -> float:
    """K of a discriminator, by its card; NaN where its method has none."""
    return card["settings"].get("method", {}).get("K", np.nan)


def shares(
    metrics: pd.DataFrame, cards: Mapping[Key, Mapping[str, Any]], studies: Sequence[Study], seeds: Sequence[int]
) -> pd.DataFrame:
    """AUROC averaged over OOD sets: id_dataset, network, variant, K, mean, sd, seeds; standard has no K.

    Mean and standard deviation are over seeds, and missing where one discriminator or OOD set is.
    """
    values = over_seeds(over_sets(aurocs(metrics, studies, seeds)), ["id_dataset", "network", "variant"])
    known = {key[:3]: share_of(card) for key, card in cards.items()}
    places = values[["id_dataset", "network", "variant"]].itertuples(index=False, name=None)
    values.insert(3, "K", [known.get(place, np.nan) for place in places])
    return values


def draw_shares(axes: Axes, values: pd.DataFrame) -> None:
    """The lines of one ID data set: AUROC in per cent of each network against K, that of standard dashed."""
    networks = values["network"].unique()
    if values["mean"].isna().all():
        axes.text(0.5, 0.5, "nothing yet", ha="center", va="center", transform=axes.transAxes)
        axes.set_yticks([])
    for number, network in enumerate(networks):
        rows = values[values["network"] == network]
        curve = rows.dropna(subset=["K", "mean"]).sort_values("K")
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        aside = DODGE * (number - (len(networks) - 1) / 2)
        axes.errorbar(
            np.sqrt(curve["K"]) + aside,
            100 * curve["mean"],
            100 * curve["sd"].fillna(0),
            color=colour,
            marker=marker,
            markersize=4.5,
            linewidth=1.5,
            elinewidth=1,
            capsize=2,
            label=network_title(network),
        )
        for mean in rows.loc[rows["variant"] == STANDARD, "mean"].dropna():
            axes.axhline(100 * mean, color=colour, linewidth=1.1, linestyle=(0, (5, 3)))
    ticks = np.unique(values["K"].dropna())
    axes.set_xticks(np.sqrt(ticks), [f"{tick:g}" for tick in ticks])
    axes.set_xlabel("low-entropy share K (square-root scale)")


def figure_of_shares(values: pd.DataFrame, titles: Mapping[str, str], note: str = "") -> Figure:
    """A panel for each ID data set, a line with error bars (standard deviation over seeds) for each network."""
    sets = values["id_dataset"].unique()
    if values["mean"].isna().all():
        return empty(f"There is no AUROC to be shown. {note}")
    figure, axes = panels(1, len(sets), width=3.4, height=2.9)
    for each, name in zip(axes.flat, sets, strict=True):
        draw_shares(each, values[values["id_dataset"] == name])
        each.set_title(titles.get(name, name))
    axes[0, 0].set_ylabel("AUROC, mean over OOD sets (%)")
    legend(figure, dashed(STANDARD))
    return annotated(figure, f"Bars: standard deviation over {values['seeds'].max()} seeds.", note)
