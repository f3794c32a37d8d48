"""Gains of variants over their controls: means over each group of OOD sets, paired by seed, with 95 % intervals."""

from collections.abc import Mapping
from itertools import chain

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fig.report.measures import (
    PLACE,
    SCORER,
    ask_comparable,
    average_over_sets,
    find_accuracies,
    find_by_group,
    find_lacking,
    gains_over_controls,
    gather_rows,
)
from fig.report.plots import COLOURS, DPI, MOST, add_notes, make_empty, note_left_out
from fig.report.results import Results, describe_missing
from fig.report.statistics import interval_over_seeds
from fig.report.tables import ABSENT, Table, format_interval, format_points, pivot_cells
from fig.report.targets import Made
from fig.report.titles import place_title, variant_title
from fig.study.selection import Selection

PAIR = [*SCORER, "control"]
CELL = [*PAIR, "measure", "group"]
HEADINGS = {"auroc": "AUROC gain ↑", "accuracy": "accuracy gain ↑"}
COLUMNS = [*CELL, "gain", "low", "high", "seeds"]
ABOUT = "points of per cent: mean over {} seeds, and its 95 % interval"
DRAWN = "Dots are means of pairs, bars their 95 % intervals; a dot is filled where its interval excludes zero."
WORSE, BETTER, SAME = COLOURS[1], COLOURS[2], "0.5"


def make(results: Results, selection: Selection) -> Made:
    """Every variant that has controls, under every detector: a row for each control, a column for each group.

    The values behind the table are COLUMNS, shares of one; an accuracy has no group.
    """
    of_sets = find_by_group(results.metrics, selection, ("auroc",))
    values = pd.concat([average_over_sets(of_sets), find_accuracies(results.metrics, of_sets)], ignore_index=True)
    gains = gains_over_controls(values, selection.studies)
    found = [(*names, *summarize_gain(rows)) for names, rows in gains.groupby(CELL, sort=False)["value"]]
    table = pd.DataFrame(found, columns=COLUMNS)
    seeds = len(selection.seeds)
    notes = describe_missing(results.missing_with(find_lacking(of_sets)))
    compared = table.merge(ask_comparable(selection.studies)[SCORER].drop_duplicates(), on=SCORER)
    figure = draw_gains(compared, selection.titles)
    return Made((Table(ABOUT.format(seeds), lay_out_gains(table, seeds), notes),), table, figure, compared)


def summarize_gain(gains: pd.Series) -> tuple[float, float, float, int]:
    """Mean and interval of the gains of those seeds that have both values, and how many these are."""
    found = gains.dropna().to_numpy(float)
    return float(found.mean()) if found.size else float("nan"), *interval_over_seeds(found), found.size


def lay_out_gains(table: pd.DataFrame, seeds: int) -> pd.DataFrame:
    """A row for each variant, detector and control, a column for each measure and group; cells as text."""
    headings = (table["group"] + " " + table["measure"].map(HEADINGS)).str.strip()
    columns = (table[name] for name in ("gain", "low", "high", "seeds"))
    cells = [format_gain(gain, low, high, found, seeds) for gain, low, high, found in zip(*columns, strict=True)]
    rows = table.assign(heading=headings, cell=cells).rename(columns={"control": "over"})
    return pivot_cells(rows, [*SCORER, "over"], "heading")


def format_gain(gain: float, low: float, high: float, found: int, seeds: int) -> str:
    """A gain with its interval; where seeds are missing it says how many are there."""
    interval = format_interval(low, high)
    text = f"{format_points(gain)} ({interval})" if interval else format_points(gain) or ABSENT
    return f"{text} ({found} of {seeds} seeds)" if 0 < found < seeds else text


def draw_gains(table: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Draw the gains of each ID data set and network: a panel for each group, in it a row for each control."""
    if table["gain"].isna().all():
        return make_empty("There is no gain to show: no variant and control have a seed in common.")
    pairs = table[PAIR].drop_duplicates(ignore_index=True)
    drawn = choose_pairs(pairs)
    shown = table.merge(drawn, on=PAIR)
    columns = list(dict.fromkeys(zip(shown["measure"], shown["group"], strict=True)))
    parts = [(place, rows, place_rows(rows)) for place, rows in shown.groupby(PLACE, sort=False)]
    heights = [0.7 + 0.16 * len(places) for *_, places in parts]  # inches
    figure = Figure(figsize=(2.2 + 1.25 * len(columns), sum(heights)), layout="constrained", dpi=DPI)
    panels = figure.subplots(len(parts), len(columns), squeeze=False, sharey="row", height_ratios=heights)
    for line, ((id_dataset, network), rows, places) in zip(panels, parts, strict=True):
        for axes, (measure, group) in zip(line, columns, strict=True):
            draw_column(axes, rows[(rows["measure"] == measure) & (rows["group"] == group)], places)
            axes.set_title(group or measure)
        label_rows(line[0], places)
        line[0].set_ylabel(place_title(id_dataset, network, titles))
        line[0].set_xlabel("gain (points)", loc="left")
    return add_notes(figure, DRAWN, note_left_out(len(drawn), len(pairs)))


def choose_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """At most MOST pairs, in their order: as many of each network, and each variant's first controls before others."""
    share = max(1, MOST // pairs.groupby(PLACE).ngroups)
    by_control = pairs.iloc[pairs.groupby(SCORER, sort=False).cumcount().argsort(kind="stable")]
    return by_control.groupby(PLACE, sort=False).head(share)[:MOST].sort_index()


def place_rows(rows: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Heights of the rows: of each variant's name, with no control, and below it of each of its controls."""
    together = gather_rows(rows, ["variant"])
    pairs = zip(together["variant"], together["control"], strict=True)
    named = dict.fromkeys(chain.from_iterable(((variant, ""), (variant, control)) for variant, control in pairs))
    return {name: -height for height, name in enumerate(named)}


def label_rows(axes: Axes, places: Mapping[tuple[str, str], int]) -> None:
    """Name the rows: variants in bold, their controls after `over`."""
    names = [f"over {variant_title(control)}" if control else variant_title(variant) for variant, control in places]
    axes.set_yticks(list(places.values()), names)
    for label, (_, control) in zip(axes.get_yticklabels(), places, strict=True):
        label.set_fontweight("normal" if control else "bold")


def draw_column(axes: Axes, rows: pd.DataFrame, places: Mapping[tuple[str, str], int]) -> None:
    """Draw the gains of one group in points, with their intervals; those of one seed have none."""
    axes.axvline(0, color="0.7", linewidth=0.8, zorder=0)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-len(places) + 0.4, 0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    for row in rows.dropna(subset="gain").itertuples():
        height = places[row.variant, row.control]
        colour = BETTER if row.low > 0 else WORSE if row.high < 0 else SAME
        axes.plot([100 * row.low, 100 * row.high], [height, height], color=colour, linewidth=1.2)
        face = "white" if colour == SAME else colour
        axes.plot(100 * row.gain, height, "o", color=colour, markerfacecolor=face, markersize=4)
