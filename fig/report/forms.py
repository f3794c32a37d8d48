"""The forms of the paper's Tables 1, 2 (and 3) and 4, filled from the tidy metrics of a run."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from fig.report.tables import percent, values_by_seed

METHODS_DETECTORS = {"deconf": "id-only"}  # which come with a method, and the protocol under which methods are compared
COMMON = "baseline"  # the detector of all other methods
WHERE = ["id_dataset", "network"]
AVERAGE = "average"

Tidy = pd.DataFrame  # columns of a form's place, then column, mean, sd, seeds; values are shares of one


def over_seeds(values: pd.DataFrame, place: list[str]) -> Tidy:
    """Mean, sample standard deviation and number of seeds for each place and column, in the order of the values."""
    grouped = values.groupby([*place, "column"], sort=False)["value"]
    return grouped.agg(mean="mean", sd="std", seeds="count").reset_index()


def by_detector(metrics: pd.DataFrame) -> Tidy:
    """Table 1: AUROC averaged over OOD sets under each detector and protocol, for standard, FIG and FIG's gain."""
    values = values_by_seed(metrics)
    values = values[values["measure"].isin(["auroc", "gain"]) & values["variant"].isin(["standard", "fig"])]
    columns = values["variant"].where(values["measure"] == "auroc", "gain")
    return over_seeds(values.assign(column=columns), [*WHERE, "detector", "protocol"])


def compared(metrics: pd.DataFrame) -> pd.DataFrame:
    """Values by seed of every variant under one detector: the one that comes with its method, or the baseline."""
    values = values_by_seed(metrics)
    its_own = values["protocol"] == values["detector"].map(METHODS_DETECTORS)
    return values[its_own | (values["detector"] == COMMON)]


def by_method(metrics: pd.DataFrame) -> Tidy:
    """Tables 2 and 3: AUROC on each OOD set and their average, for each variant."""
    values = compared(metrics)
    values = values[values["measure"].str.startswith("auroc.") | (values["measure"] == "auroc")]
    sets = values["measure"].str.removeprefix("auroc.").replace("auroc", AVERAGE)
    values = values.assign(column=values["variant"], ood_dataset=sets)
    last = values.sort_values("ood_dataset", key=lambda names: names == AVERAGE, kind="stable")
    return over_seeds(last, [*WHERE, "ood_dataset"])


def by_both(metrics: pd.DataFrame) -> Tidy:
    """Table 4: the harmonic mean of averaged AUROC and accuracy, for each variant; and half of it, as printed there."""
    keys = [*WHERE, "variant", "seed"]
    values = compared(metrics)
    values = values[values["measure"].isin(["auroc", "accuracy"])]
    wide = values.pivot(index=keys, columns="measure", values="value").reindex(values[keys].drop_duplicates())
    wide["harmonic mean"] = 2 * wide["auroc"] * wide["accuracy"] / (wide["auroc"] + wide["accuracy"])
    wide["half of it, as the paper prints"] = wide["harmonic mean"] / 2
    wide = wide.rename(columns={"auroc": "AUROC"})[["AUROC", "accuracy", *wide.columns[2:]]]
    tidy = wide.reset_index().melt(keys, var_name="measure")
    return over_seeds(tidy.assign(column=tidy["variant"]), [*WHERE, "measure"])


FORMS: dict[str, tuple[str, Callable[[pd.DataFrame], Tidy]]] = {
    "table1": ("Table 1: AUROC averaged over OOD sets, by detector and protocol, of standard and FIG", by_detector),
    "table2": ("Table 2: AUROC by OOD set, of every method under its own detector or the baseline", by_method),
    "table4": ("Table 4: harmonic mean of AUROC, averaged over OOD sets, and accuracy", by_both),
}


def cell(row: Any, most: int) -> str:
    """A row of a form as text, in per cent; over how many seeds, where that is not `most`."""
    text = percent(row.mean, row.sd, signed=row.column == "gain")
    return text if row.seeds == most else f"{text} ({row.seeds} of {most} seeds)"


def readable(form: Tidy) -> pd.DataFrame:
    """A form for people: a row for each place, a column for each variant, cells in per cent as text.

    A cell over fewer seeds than the form's best says over how many.
    """
    place = [name for name in form.columns if name not in ("column", "mean", "sd", "seeds")]
    most = form["seeds"].max()
    cells = [cell(row, most) for row in form.itertuples()]
    rows = list(dict.fromkeys(map(tuple, form[place].to_numpy())))
    columns = list(dict.fromkeys(form["column"]))
    wide = form.assign(cell=cells).pivot(index=place, columns="column", values="cell").reindex(rows)[columns]
    return wide.fillna("").rename_axis(columns=None).reset_index()


def markdown(title: str, form: Tidy) -> str:
    """A form as Markdown."""
    return f"{title}; per cent, mean ± standard deviation over seeds\n\n{readable(form).to_markdown(index=False)}\n"


def html(title: str, form: Tidy) -> str:
    """A form as an HTML table."""
    table = readable(form).to_html(index=False, border=0)
    return f'<div class="wide"><p>{title}; per cent, mean ± standard deviation over seeds</p>\n{table}</div>'
