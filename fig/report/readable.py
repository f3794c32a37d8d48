"""Forms of the paper's tables for people: ours beside the paper's, what disagrees, and what is missing."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from fig.report import paper
from fig.report.forms import KINDS, Form
from fig.report.gaps import together
from fig.report.paper import GAIN
from fig.report.render import Table
from fig.report.studies import Shown
from fig.report.tables import percent

MISSING = "—"
STATISTICS = ["column", "mean", "sd", "seeds", "paper", "difference", "disagrees", "reason"]


def cell(row: Any, seeds: int) -> str:
    """A row of a form in per cent, `ours | paper | difference`; where seeds are missing it says how many are there."""
    ours = percent(row.mean, row.sd, signed=row.column == GAIN) or MISSING
    if 0 < row.seeds < seeds:
        ours = f"{ours} ({row.seeds} of {seeds} seeds)"
    if row.disagrees:
        ours = f"{ours} †"
    if pd.isna(row.paper):
        return ours
    theirs = percent(row.paper, float("nan"), signed=row.column == GAIN)
    return f"{ours} | {theirs} | {percent(row.difference, float('nan'), signed=True) or MISSING}"


def readable(form: Form, seeds: int) -> pd.DataFrame:
    """A form with a row for each place and a column for each variant, cells as text; empty where nothing is asked."""
    place = [name for name in form.columns if name not in STATISTICS]
    rows = list(dict.fromkeys(map(tuple, form[place].to_numpy())))
    columns = list(dict.fromkeys(form["column"]))
    texts = form.assign(cell=[cell(row, seeds) for row in form.itertuples()])
    wide = texts.pivot(index=place, columns="column", values="cell").reindex(rows)[columns].fillna("")
    table = wide.rename_axis(columns=None).reset_index()
    empty = [name for name in ("protocol",) if name in table and not table[name].any()]
    return table.drop(columns=empty)


def other_sets(shown: Shown) -> Iterator[str]:
    """Over which OOD sets ours are averaged, a sentence for each of the paper's ID data sets where they are others."""
    sets: dict[str, dict[str, None]] = {}
    for study in shown.studies:
        for name in study.id_datasets:
            sets.setdefault(name, {}).update(dict.fromkeys(study.ood_datasets))
    for name, ours in sets.items():
        theirs = paper.ood_sets(shown.titles.get(name, name))
        if theirs and sorted(shown.titles.get(each, each) for each in ours) != sorted(theirs):
            yield (
                f"On {name} our averages are over {', '.join(ours)}; the paper's are over {', '.join(theirs)}: "
                "an average's difference is also one of OOD sets."
            )


def notes(name: str, form: Form, shown: Shown) -> Iterator[str]:
    """What one has to know to read a form, then what is missing and why."""
    if form["disagrees"].any():
        what = "FIG's gain" if (form["column"] == GAIN).any() else "FIG's improvement over this method"
        yield f"† {what} has another sign than in the paper."
    if name == "table1":
        yield (
            "Where a detector's settings are to be chosen, `oracle` chooses on each test OOD set, as the paper does, "
            "and `id-only` with ID images alone."
        )
    else:
        yield "A method is scored by its own detector (deconf, settings chosen with ID images), or by the baseline."
    if name in ("table2", "table3") and form["paper"].notna().any():
        yield "The paper does not say how images of T(r) were resized: its value stands beside each resampler of ours."
    if name == "table4":
        yield "The paper prints a·b/(a+b), half of the harmonic mean; beside the whole stands twice what it prints."
    if form["paper"].notna().any():
        yield from other_sets(shown)
    yield from together(form["reason"])


def table_of(name: str, form: Form, shown: Shown) -> Table:
    """A form of the paper's tables for people."""
    seeds = len(shown.seeds)
    cells = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    if form["paper"].notna().any():
        cells = f"ours, {cells} | the paper's | difference"
    caption = f"{KINDS[name].title}; per cent: {cells}"
    return Table(name, caption, readable(form, seeds), list(notes(name, form, shown)))
