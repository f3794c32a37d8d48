"""Gains of variants over their controls: means over each group of OOD sets, paired by seed, with 95 % intervals."""

import pandas as pd

from fig.report.measures import (
    SCORER,
    average_over_sets,
    find_accuracies,
    find_by_group,
    find_lacking,
    gains_over_controls,
)
from fig.report.results import Results, describe_missing
from fig.report.statistics import interval_over_seeds
from fig.report.tables import ABSENT, Table, format_interval, format_points, pivot_cells
from fig.report.targets import Made
from fig.study.selection import Selection

PAIR = [*SCORER, "control"]
CELL = [*PAIR, "measure", "group"]
HEADINGS = {"auroc": "AUROC gain ↑", "accuracy": "accuracy gain ↑"}
COLUMNS = [*CELL, "gain", "low", "high", "seeds"]
ABOUT = "points of per cent: mean over {} seeds, and its 95 % interval"


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
    return Made((Table(ABOUT.format(seeds), lay_out_gains(table, seeds), notes),), table)


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
