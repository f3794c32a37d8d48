"""What a target makes: tables, a figure, and the values behind them. A row of fig.study.targets names each maker.

A module here is imported when its target is made, so that a job depends on the code of its own target alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING

import pandas as pd

from fig.report.results import Results
from fig.report.tables import PAGE, Table, to_html, to_latex, to_markdown
from fig.study.selection import Selection
from fig.study.targets import Target

if TYPE_CHECKING:  # a table needs no Matplotlib
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Made:
    """What a target makes: tables with the values behind them, a figure with the values behind it, or both."""

    tables: tuple[Table, ...] = ()
    table_values: pd.DataFrame | None = None
    figure: "Figure | None" = None
    figure_values: pd.DataFrame | None = None


def make_target(target: Target, results: Results, selection: Selection) -> Made:
    """Make a target from what there is of a run. What is missing is noted with its reason.

    Captions of tables begin with the target's title, and end with the seeds and commits of what is there.
    """
    make = getattr(import_module(f"{__name__}.{target.module}"), target.function)
    made: Made = make(results, selection)
    source = describe_source(results) if target.needs else []
    return replace(made, tables=tuple(name_table(target, table, source) for table in made.tables))


def name_table(target: Target, table: Table, source: Sequence[str]) -> Table:
    """A table with its target's name, and a caption of title, what it says itself and source."""
    name = "-".join(filter(None, [target.name, table.name]))
    return replace(table, name=name, caption="; ".join(filter(None, [target.title, table.caption, *source])))


def describe_source(results: Results) -> list[str]:
    """The seeds and the commits behind a table, each in a phrase if there are any."""
    seeds = sorted({key[3] for key in results.folders})
    found = {"seed": list(map(str, seeds)), "commit": results.commits}
    return [f"{name}{'s' * (len(each) > 1)} {', '.join(each)}" for name, each in found.items() if each]


def render_tables(made: Made) -> dict[str, str]:
    """The files of a target's tables by their suffix, csv, md, tex and html; empty where it makes no table."""
    if made.table_values is None:
        return {}
    return {
        "csv": made.table_values.to_csv(index=False),
        "md": "\n".join(map(to_markdown, made.tables)),
        "tex": "\n".join(map(to_latex, made.tables)),
        "html": PAGE + "\n".join(map(to_html, made.tables)),
    }
