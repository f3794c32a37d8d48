"""The paper's Table 5: how many images a second the sampler draws, and the paper's numbers."""

from collections.abc import Mapping

import pandas as pd

from fig.report import paper
from fig.report.measures import PLACE
from fig.report.results import Results
from fig.report.tables import ABSENT, Table, format_number
from fig.report.targets import Made
from fig.settings import Json
from fig.study.selection import Selection

COLUMNS = [*PLACE, "width", "size", "device", "precision", "batch", "steps", "images", "seconds", "images_per_second"]
UNMEASURED = "it was not measured yet"
UNSAID = "The paper tells neither the device nor the batch nor the number of steps behind its numbers."
HEADINGS = {
    "size": "pixels a side",
    "steps": "steps taken",
    "speed": "images a second: ours | the paper's | difference",
}


def make(results: Results, selection: Selection) -> Made:
    """Images a second on the ID data sets and networks that are asked for, and the paper's at the same size."""
    asked = list(dict.fromkeys((key[0], key[1]) for key in selection.list_keys()))
    found = [results.throughput(*place) for place in asked]
    form = compare_speeds([each for each in found if each], asked)
    notes = [f"Missing: {row.id_dataset}/{row.network}: {row.reason}." for row in form.itertuples() if row.reason]
    return Made((Table("", lay_out_speeds(form), [UNSAID, *notes]),), form)


def compare_speeds(measured: list[Mapping[str, Json]], asked: list[tuple[str, str]]) -> pd.DataFrame:
    """Return the requested speeds: COLUMNS, paper, difference (images a second), and the reason for a missing speed.

    The paper's networks have full width, so narrower ones have no value to compare with.
    """
    table = pd.DataFrame(measured, columns=COLUMNS)
    form = pd.DataFrame(asked, columns=PLACE).merge(table, on=PLACE, how="left")
    form = form.astype({"size": "Int64", "batch": "Int64", "images": "Int64"})
    printed = paper.read_throughput().astype({"size": "Int64"}).assign(width=1.0)
    form = form.astype({"width": float}).merge(printed, on=["network", "width", "size"], how="left")
    difference = form["images_per_second"].astype(float) - form["paper"]
    reason = form["images_per_second"].isna().map({True: UNMEASURED, False: ""})
    return form.assign(difference=difference, reason=reason)


def lay_out_speeds(form: pd.DataFrame) -> pd.DataFrame:
    """The speeds as text."""
    cells = form[PLACE].assign(
        width=[format_number(value, "g") for value in form["width"]],
        size=form["size"].astype("string").fillna(""),
        device=form["device"].fillna(""),
        batch=form["batch"].astype("string").fillna(""),
        steps=[format_number(value, ".1f") for value in form["steps"]],
        speed=[format_speed(row) for row in form.to_dict("records")],
    )
    return cells.rename(columns=HEADINGS).astype(str)


def format_speed(row: Mapping[str, Json]) -> str:
    """A speed as text, with the paper's where it has one."""
    ours = format_number(row["images_per_second"], ".1f") or ABSENT
    if pd.isna(row["paper"]):
        return ours
    return f"{ours} | {row['paper']:.0f} | {format_number(row['difference'], '+.1f') or ABSENT}"
