"""The paper's Tables 1 to 4: ours, the paper's printed values, and the differences."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

import pandas as pd

from fig.report import paper
from fig.report.measures import (
    COMMON,
    NAMES,
    OWN_DETECTORS,
    PATCHED,
    PLACE,
    STANDARD,
    add_harmonic_means,
    ask_comparable,
    average_over_seeds,
    average_over_sets,
    find_by_protocol,
    find_comparable,
    gather_rows,
)
from fig.report.paper import AVERAGE, GAIN, HALF, HARMONIC
from fig.report.results import Results, describe_missing, list_reasons
from fig.report.tables import ABSENT, Table, format_percent, format_seeds, pivot_cells
from fig.report.targets import Made
from fig.study.selection import Key, Selection

MEASURES = ("AUROC", "accuracy", HARMONIC, HALF)  # of Table 4
OWN_DETECTOR = "A method is scored by its own detector (deconf, settings chosen with ID images), or by {}."
WITH_SETTINGS = (
    "Where a detector has settings to choose, `oracle` chooses on each test OOD set, as the paper does, and `id-only` "
    "with ID images alone."
)
RESIZED = "The paper does not say how images of T(r) were resized: its value is given for each resampler of ours."
HALVES = "The paper prints a·b/(a+b), half of the harmonic mean; the whole is compared with twice what it prints."

Values: TypeAlias = (
    pd.DataFrame
)  # columns of a place, then column, seed and value, a share of one; NaN where it is missing


class FormRow(Protocol):
    """A row of a form, as pandas gives it."""

    column: str
    mean: float
    sd: float
    seeds: int
    paper: float
    difference: float
    disagrees: bool
    reason: str


Form: TypeAlias = pd.DataFrame  # columns of a place, then column, mean, sd, seeds, paper, difference, disagrees, reason


def make_table1(results: Results, selection: Selection) -> Made:
    """AUROC averaged over OOD sets, of standard and FIG under each detector and protocol; gains are paired by seed."""
    place = [*PLACE, "detector", "protocol"]
    means = average_over_sets(find_by_protocol(results.metrics, selection, (STANDARD, PATCHED)))
    rows = list(dict.fromkeys(means[[*place, "seed"]].itertuples(index=False, name=None)))
    wide = means.pivot(index=[*place, "seed"], columns="variant", values="value").reindex(rows)
    wide = wide.reindex(columns=[STANDARD, PATCHED])
    wide[GAIN] = wide[PATCHED] - wide[STANDARD]
    values = wide.rename_axis(columns="column").stack(future_stack=True).rename("value").reset_index()
    return fill_form(results, selection, values, place, paper.read_by_detector(), [WITH_SETTINGS])


def make_table2(results: Results, selection: Selection) -> Made:
    """AUROC on each OOD set and their average, of each variant."""
    values = find_comparable(results.metrics, selection)
    both = pd.concat([values, average_over_sets(values).assign(ood_dataset=AVERAGE)], ignore_index=True)
    place = [*PLACE, "ood_dataset"]
    both = both.rename(columns={"variant": "column"})
    return fill_form(
        results, selection, both, place, paper.read_by_method(), [describe_detectors(selection)], [RESIZED]
    )


make_table3 = make_table2  # of other studies


def make_table4(results: Results, selection: Selection) -> Made:
    """The harmonic mean of AUROC, averaged over OOD sets, and accuracy, of each variant; and half of it."""
    aurocs = average_over_sets(find_comparable(results.metrics, selection))
    both = add_harmonic_means(aurocs, results.metrics)
    both = both.assign(half=both["harmonic_mean"] / 2, accuracy=both["accuracy"].where(both["value"].notna()))
    wide = both.set_index([*NAMES, "seed"])[["value", "accuracy", "harmonic_mean", "half"]].set_axis(MEASURES, axis=1)
    values = wide.rename_axis(columns="measure").stack(future_stack=True).rename("value").reset_index()
    values = values.rename(columns={"variant": "column"})
    notes = [describe_detectors(selection), HALVES]
    return fill_form(results, selection, values, [*PLACE, "measure"], paper.read_harmonic_means(), notes)


def describe_detectors(selection: Selection) -> str:
    """By which detector methods are compared."""
    chosen = ask_comparable(selection.studies)["detector"].unique()
    others = [f"the {name}" if name == COMMON else name for name in chosen if name not in OWN_DETECTORS]
    return OWN_DETECTOR.format(" or ".join(others or ["the baseline"]))


def fill_form(
    results: Results,
    selection: Selection,
    values: Values,
    place: Sequence[str],
    printed: pd.DataFrame,
    notes: Sequence[str],
    notes_on_paper: Sequence[str] = (),
) -> Made:
    """The form and the table of values: every cell that is asked for, and for one over fewer seeds the reason."""
    cell = [*place, "column"]
    form = add_printed(average_over_seeds(values, cell, partly=True), place, printed, selection.titles)
    lacking = find_lacking_keys(values, cell, results)
    reasons = [list_reasons(lacking.get(names, ()), results) for names in form[cell].itertuples(index=False, name=None)]
    form = form.assign(disagrees=find_disagreeing(form, place), reason=reasons)
    form = gather_rows(form, PLACE)
    has_paper = form["paper"].notna().any()
    seeds = len(selection.seeds)
    cells = f"ours, {format_seeds(seeds)} | the paper's | difference" if has_paper else format_seeds(seeds)
    missing = {key: results.reason(key) for keys in lacking.values() for key in keys}
    found = [
        *note_disagreeing(form),
        *notes,
        *(notes_on_paper if has_paper else ()),
        *(paper.note_other_sets(selection) if has_paper else ()),
        *describe_missing(missing),
    ]
    return Made((Table(f"per cent: {cells}", lay_out_form(form, place, seeds), found),), form)


def add_printed(form: Form, place: Sequence[str], printed: pd.DataFrame, titles: Mapping[str, str]) -> Form:
    """The form with the paper's values, where it has any, and how far ours are above them."""
    titled = form.assign(
        **{
            name: form[name].map(lambda each: titles.get(each, each))
            for name in ("id_dataset", "ood_dataset")
            if name in form
        }
    )
    values = titled.merge(printed, on=[*place, "column"], how="left", validate="many_to_one")["paper"].to_numpy()
    return form.assign(paper=values, difference=form["mean"] - values)


def find_disagreeing(form: Form, place: Sequence[str]) -> pd.Series:
    """Whether FIG's improvement over a cell's method has another sign here than in the paper; of a gain, its own."""
    is_gain = form["column"] == GAIN
    fig = form[form["column"] == PATCHED][[*place, "mean", "paper"]]
    both = form[[*place]].merge(fig, on=list(place), how="left").set_index(form.index)
    ours = form["mean"].where(is_gain, both["mean"] - form["mean"])
    theirs = form["paper"].where(is_gain, both["paper"] - form["paper"])
    compared = is_gain if is_gain.any() else ~is_gain
    return (ours * theirs < 0) & compared


def find_lacking_keys(values: Values, cell: Sequence[str], results: Results) -> dict[tuple[str, ...], list[Key]]:
    """For each cell, the discriminators that its missing seeds need; a gain needs FIG's and standard's."""
    found: dict[tuple[str, ...], list[Key]] = {}
    for row in values[values["value"].isna()].to_dict("records"):
        variants = (PATCHED, STANDARD) if row["column"] == GAIN else (row["column"],)
        keys = [(row["id_dataset"], row["network"], variant, row["seed"]) for variant in variants]
        found.setdefault(tuple(row[name] for name in cell), []).extend(
            [key for key in keys if key in results.missing] or keys
        )
    return found


def lay_out_form(form: Form, place: Sequence[str], seeds: int) -> pd.DataFrame:
    """The form with a row for each place and a column for each variant, cells as text; empty where nothing is asked."""
    texts = form.assign(cell=[format_cell(row, seeds) for row in form.itertuples()])
    table = pivot_cells(texts, place, "column")
    return table.drop(columns=[name for name in ("protocol",) if name in table and not table[name].any()])


def format_cell(row: FormRow, seeds: int) -> str:
    """A row of a form in per cent, `ours | paper | difference`; where seeds are missing it says how many are there."""
    ours = format_percent(row.mean, row.sd, signed=row.column == GAIN) or ABSENT
    if 0 < row.seeds < seeds:
        ours = f"{ours} ({row.seeds} of {seeds} seeds)"
    if row.disagrees:
        ours = f"{ours} †"
    if pd.isna(row.paper):
        return ours
    theirs = format_percent(row.paper, signed=row.column == GAIN)
    return f"{ours} | {theirs} | {format_percent(row.difference, signed=True) or ABSENT}"


def note_disagreeing(form: Form) -> Iterator[str]:
    """What the mark † means, where there is one."""
    if form["disagrees"].any():
        what = "FIG's gain" if (form["column"] == GAIN).any() else "FIG's improvement over this method"
        yield f"† {what} has another sign than in the paper."
