"""Every discriminator of a run compared: a table for each ID data set, of all measures of all variants."""

import pandas as pd

from fig.report.measures import SETTING, compare_all
from fig.report.results import Results, describe_missing
from fig.report.tables import HEADINGS, Table, format_percent, pivot_cells
from fig.report.targets import Made
from fig.study.selection import Selection

ABOUT = "per cent, mean ± standard deviation over seeds; averages are over the OOD sets that all were scored on"
WITH_SETTINGS = (
    "Where a detector has settings to choose, `oracle` chooses on each test OOD set, `id-only` with ID images alone."
)
COLUMNS = [*SETTING, "measure", "mean", "sd", "seeds"]


def make(results: Results, selection: Selection) -> Made:
    """Compare every discriminator of the run."""
    if results.metrics.empty:
        missing = describe_missing(results.missing)
        nothing = Table("no discriminator is evaluated yet", pd.DataFrame(columns=SETTING), missing)
        return Made((nothing,), pd.DataFrame(columns=COLUMNS))
    compared = compare_all(results.metrics)
    names = compared["id_dataset"].unique()
    notes = [WITH_SETTINGS] if compared["protocol"].any() else []
    tables = []
    for name in names:
        own = describe_missing({key: reason for key, reason in results.missing.items() if key[0] == name})
        tables.append(Table(f"{name}: {ABOUT}", lay_out_comparison(compared, name), [*notes, *own], name))
    return Made(tuple(tables), compared)


def lay_out_comparison(compared: pd.DataFrame, id_dataset: str) -> pd.DataFrame:
    """The comparison on one ID data set: a row for each discriminator and detector, cells as text."""
    rows = compared[compared["id_dataset"] == id_dataset]
    sets = [measure for measure in rows["measure"].unique() if measure.startswith("auroc.")]
    headings = {"auroc": HEADINGS["auroc"], **{name: f"AUROC {name.removeprefix('auroc.')} ↑" for name in sets}}
    headings |= HEADINGS
    shown = rows[rows["measure"].isin(headings)]
    cells = shown.assign(
        cell=[format_percent(r.mean, r.sd, r.measure == "gain") for r in shown.itertuples()],
        measure=shown["measure"].map(headings),
    )
    wide = pivot_cells(cells, SETTING, "measure")
    wide = wide[[*SETTING, *(heading for heading in headings.values() if heading in wide)]]
    seeds = rows[rows["measure"] == "auroc"][[*SETTING, "seeds"]]
    table = wide.merge(seeds, on=SETTING, how="left").drop(columns="id_dataset")
    return table if table["protocol"].any() else table.drop(columns="protocol")
