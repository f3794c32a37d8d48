"""Near and far OOD sets as OpenOOD's tables have them: means over each group of OOD sets, then over seeds."""

import pandas as pd

from fig.report.measures import (
    SCORER,
    average_over_seeds,
    average_over_sets,
    find_accuracies,
    find_by_group,
    find_lacking,
)
from fig.report.results import Results, describe_missing
from fig.report.tables import ABSENT, HEADINGS, Table, format_percent, format_seeds, pivot_cells
from fig.report.targets import Made
from fig.study.selection import Selection

MEASURES = ("auroc", "fpr95_ood_positive")
CELL = [*SCORER, "measure", "group", "ood_dataset"]
ABOUT = "per cent, means over the OOD sets of a group"


def make(results: Results, selection: Selection) -> Made:
    """Every variant under every detector: a column for each measure and group, and the accuracy.

    The values behind the table also include each OOD set: CELL, mean, sd, seeds. A mean over a group has no OOD set, an
    accuracy has no group.
    """
    of_sets = find_by_group(results.metrics, selection, MEASURES)
    of_groups = average_over_sets(of_sets).assign(ood_dataset="")
    accuracies = find_accuracies(results.metrics, of_sets).assign(ood_dataset="")
    both = pd.concat([of_groups, accuracies, of_sets], ignore_index=True)[[*CELL, "seed", "value"]]
    values = average_over_seeds(both, CELL, partly=True, ddof=0)
    notes = describe_missing(results.missing_with(find_lacking(of_sets)))
    seeds = len(selection.seeds)
    table = Table(f"{ABOUT}: {format_seeds(seeds)}", lay_out_groups(values, seeds), notes)
    return Made((table,), values)


def lay_out_groups(values: pd.DataFrame, seeds: int) -> pd.DataFrame:
    """A row for each variant and detector, a column for each measure and group; cells as text."""
    rows = values[values["ood_dataset"] == ""]
    headings = (rows["group"] + " " + rows["measure"].map(HEADINGS)).str.strip()
    columns = (rows[name] for name in ("mean", "sd", "seeds"))
    cells = [format_cell(mean, sd, found, seeds) for mean, sd, found in zip(*columns, strict=True)]
    return pivot_cells(rows.assign(heading=headings, cell=cells), SCORER, "heading")


def format_cell(mean: float, sd: float, found: int, seeds: int) -> str:
    """A mean and its deviation over the seeds found; where some are missing it says how many are there."""
    text = format_percent(mean, sd, digits=2) or ABSENT
    return f"{text} ({found} of {seeds} seeds)" if 0 < found < seeds else text
