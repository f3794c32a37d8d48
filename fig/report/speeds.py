"""The paper's Table 5: how many images a second the sampler draws, beside the paper's."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from fig.report import paper
from fig.report.render import Table

PLACE = ["id_dataset", "network"]
COLUMNS = [*PLACE, "width", "size", "device", "precision", "batch", "steps", "images", "seconds", "images_per_second"]
MISSING = "it was not measured yet"


def speeds(measured: Iterable[Mapping[str, Any]], asked: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """Speeds of the sampler on the ID data sets and networks that are asked for, with the paper's at the same size.

    The paper's networks have their whole width; a narrower one has nothing to stand beside it.

    Columns are those of a measurement, paper and difference (images a second), and the reason where there is none.
    """
    table = pd.DataFrame(measured, columns=COLUMNS)
    form = pd.DataFrame(asked, columns=PLACE).drop_duplicates().merge(table, on=PLACE, how="left")
    form = form.astype({"size": "Int64", "batch": "Int64", "images": "Int64"})
    printed = paper.speeds().astype({"size": "Int64"}).assign(width=1.0)
    form = form.merge(printed, on=["network", "width", "size"], how="left")
    difference = form["images_per_second"].astype(float) - form["paper"]
    reason = form["images_per_second"].isna().map({True: MISSING, False: ""})
    return form.assign(difference=difference, reason=reason)


def table_of(form: pd.DataFrame) -> Table:
    """Table 5 for people."""
    cells = form[PLACE].assign(
        width=[number(value, "g") for value in form["width"]],
        size=form["size"].astype("string").fillna(""),
        device=form["device"].fillna(""),
        batch=form["batch"].astype("string").fillna(""),
        steps=[number(value, ".1f") for value in form["steps"]],
        speed=[speed_told(row) for row in form.to_dict("records")],
    )
    cells = cells.rename(
        columns={
            "size": "pixels a side",
            "steps": "steps taken",
            "speed": "images a second: ours | the paper's | difference",
        }
    )
    notes = [f"Missing: {row.id_dataset}/{row.network}: {row.reason}." for row in form.itertuples() if row.reason]
    told = "The paper tells neither the device nor the batch nor the number of steps behind its figures."
    return Table("table5", "Table 5: throughput of the sampler", cells.astype(str), [told, *notes])


def number(value: Any, form: str) -> str:
    """A number as text, nothing where there is none."""
    return "" if pd.isna(value) else format(value, form)


def speed_told(row: Mapping[str, Any]) -> str:
    """A speed as text, beside the paper's where it has one."""
    ours = number(row["images_per_second"], ".1f") or "—"
    return (
        ours if pd.isna(row["paper"]) else f"{ours} | {row['paper']:.0f} | {number(row['difference'], '+.1f') or '—'}"
    )
