"""The forms of the paper's Tables 1 to 4, filled from the tidy metrics of a run and set beside the paper's values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from fig.metrics import harmonic_mean
from fig.report import paper
from fig.report.gaps import told
from fig.report.names import COMMON, COMPARABLE, PATCHED, STANDARD
from fig.report.paper import AVERAGE, GAIN, HALF, HARMONIC
from fig.report.records import Key
from fig.report.studies import Shown, grid

METHODS_DETECTORS = ("deconf",)  # which come with a method
WHERE = ["id_dataset", "network"]
SETTING = [*WHERE, "variant", "detector"]

Values = pd.DataFrame  # columns of a form's place, then column, seed and value, a share of one
Cells = pd.DataFrame  # what is asked for: columns of a form's place, then column and variant, in the form's order
Form = pd.DataFrame  # columns of a form's place, then column, mean, sd, seeds, paper, difference, disagrees, reason


@dataclass(frozen=True)
class Kind:
    """A kind of form: what it is called, what its place is, how it is filled, and the paper's values."""

    title: str
    place: tuple[str, ...]
    detectors: Callable[[pd.DataFrame], pd.DataFrame]  # which rows of what the studies ask for the form shows
    cells: Callable[[pd.DataFrame, pd.DataFrame], Cells]
    fill: Callable[[pd.DataFrame, pd.DataFrame], Values]
    printed: Callable[[], paper.Printed]


def standard_and_fig(asked: pd.DataFrame) -> pd.DataFrame:
    """The rows of standard and FIG."""
    return asked[asked["variant"].isin([STANDARD, PATCHED])]


def common(asked: pd.DataFrame) -> pd.DataFrame:
    """The rows under one detector for each variant: the one that comes with its method, or the baseline."""
    own = asked["detector"].isin(METHODS_DETECTORS)
    others = (asked["detector"] == COMMON) & ~asked["variant"].isin(asked["variant"][own])
    return asked[own | others]


def aurocs(metrics: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """AUROC of all that is asked for: columns of a setting, protocol, seed, ood_dataset and value."""
    scored = metrics[(metrics["metric"] == "auroc") & (metrics["protocol"] != "grid")]
    found = scored.merge(asked, on=[*SETTING, "ood_dataset"])
    return found[[*SETTING, "protocol", "seed", "ood_dataset", "value"]]


def comparable(metrics: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """AUROC of all that is asked for, under one protocol for each detector."""
    found = aurocs(metrics, asked)
    return found[found["protocol"].isin(COMPARABLE)]


def averaged(values: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """The mean over OOD sets, only where each set that is asked for is there."""
    sets = asked.groupby(SETTING, as_index=False).size()
    means = values.groupby([*SETTING, "protocol", "seed"], sort=False)["value"].agg(value="mean", there="count")
    both = means.reset_index().merge(sets, on=SETTING)
    return both[both["there"] == both["size"]].drop(columns=["there", "size"])


def cells_by_detector(metrics: pd.DataFrame, asked: pd.DataFrame) -> Cells:
    """Cells of Table 1; a detector that was never evaluated is taken to have the paper's protocol."""
    found = metrics.loc[(metrics["detector"] != "") & (metrics["protocol"] != "grid"), ["detector", "protocol"]]
    both = asked.merge(found.drop_duplicates(), on="detector", how="left").fillna({"protocol": ""})
    place = [*WHERE, "detector", "protocol"]
    columns = pd.DataFrame({"variant": [STANDARD, PATCHED, PATCHED], "column": [STANDARD, PATCHED, GAIN]})
    return both[place].drop_duplicates().merge(columns, how="cross")


def by_detector(metrics: pd.DataFrame, asked: pd.DataFrame) -> Values:
    """Table 1: AUROC averaged over OOD sets under each detector and protocol; FIG's gain is paired by seed."""
    place = [*WHERE, "detector", "protocol"]
    means = averaged(aurocs(metrics, asked), asked)
    wide = means.pivot(index=[*place, "seed"], columns="variant", values="value").reindex(columns=[STANDARD, PATCHED])
    wide[GAIN] = wide[PATCHED] - wide[STANDARD]
    return wide.rename_axis(columns="column").reset_index().melt([*place, "seed"])


def cells_by_method(metrics: pd.DataFrame, asked: pd.DataFrame) -> Cells:
    """Cells of Tables 2 and 3: the OOD sets, then their average."""
    averages = asked.drop_duplicates([*WHERE, "variant"]).assign(ood_dataset=AVERAGE)
    cells = pd.concat([asked, averages], ignore_index=True)[[*WHERE, "ood_dataset", "variant"]]
    return cells.assign(column=cells["variant"])


def by_method(metrics: pd.DataFrame, asked: pd.DataFrame) -> Values:
    """Tables 2 and 3: AUROC on each OOD set and their average, for each variant."""
    values = comparable(metrics, asked)
    both = pd.concat([values, averaged(values, asked).assign(ood_dataset=AVERAGE)], ignore_index=True)
    return both.rename(columns={"variant": "column"})[[*WHERE, "ood_dataset", "column", "seed", "value"]]


MEASURES = ("AUROC", "accuracy", HARMONIC, HALF)


def cells_by_both(metrics: pd.DataFrame, asked: pd.DataFrame) -> Cells:
    """Cells of Table 4."""
    cells = asked[[*WHERE, "variant"]].drop_duplicates().merge(pd.DataFrame({"measure": MEASURES}), how="cross")
    return cells.assign(column=cells["variant"])


def by_both(metrics: pd.DataFrame, asked: pd.DataFrame) -> Values:
    """Table 4: the harmonic mean of averaged AUROC and accuracy, for each variant; and half of it."""
    keys = [*WHERE, "variant", "seed"]
    means = averaged(comparable(metrics, asked), asked)
    accuracies = metrics.loc[metrics["metric"] == "accuracy", [*keys, "value"]]
    both = means.merge(accuracies, on=keys, suffixes=("_auroc", "_accuracy"))
    auroc, accuracy = both["value_auroc"], both["value_accuracy"]
    mean = pd.Series(map(harmonic_mean, auroc, accuracy), both.index, dtype=float)
    wide = both[keys].assign(**dict(zip(MEASURES, (auroc, accuracy, mean, mean / 2), strict=True)))
    return wide.rename(columns={"variant": "column"}).melt([*WHERE, "column", "seed"], var_name="measure")


def of_methods(title: str) -> Kind:
    """The kind of form that Tables 2 and 3 are."""
    return Kind(title, (*WHERE, "ood_dataset"), common, cells_by_method, by_method, paper.by_method)


KINDS = {
    "table1": Kind(
        "Table 1: AUROC averaged over OOD sets, of standard and FIG under each detector",
        (*WHERE, "detector", "protocol"),
        standard_and_fig,
        cells_by_detector,
        by_detector,
        paper.by_detector,
    ),
    "table2": of_methods("Table 2: AUROC on each OOD set, of each method"),
    "table3": of_methods("Table 3: AUROC on each OOD set, of each method (in the paper on MiniImageNet)"),
    "table4": Kind(
        "Table 4: harmonic mean of AUROC, averaged over OOD sets, and accuracy, of each method",
        (*WHERE, "measure"),
        common,
        cells_by_both,
        by_both,
        paper.by_both,
    ),
}


def form_of(kind: Kind, metrics: pd.DataFrame, shown: Shown, gaps: Mapping[Key, str]) -> Form:
    """A form with every cell that is asked for; one over fewer seeds than asked says why.

    `sd` is the sample standard deviation over seeds. `gaps` tells why discriminators have no metrics.
    """
    asked = kind.detectors(grid(shown.studies))
    cells, values = in_turn(kind.cells(metrics, asked)), kind.fill(metrics, asked).dropna(subset="value")
    place = [*kind.place, "column"]
    values = values[values["seed"].isin(shown.seeds)].astype({"value": float})
    statistics = values.groupby(place)["value"].agg(mean="mean", sd="std", seeds="count").reset_index()
    form = cells.merge(statistics, on=place, how="left").astype({"mean": float, "sd": float})
    form["seeds"] = form["seeds"].fillna(0).astype(int)
    form = beside(form, kind, shown.titles)
    return form.assign(disagrees=disagreeing(form, kind.place), reason=reasons(cells, values, place, shown, gaps)).drop(
        columns="variant"
    )


def in_turn(cells: Cells) -> Cells:
    """The cells with those of one ID data set and network together."""
    return cells.iloc[cells.groupby(WHERE, sort=False).ngroup().argsort(kind="stable")].reset_index(drop=True)


def beside(form: Form, kind: Kind, titles: Mapping[str, str]) -> Form:
    """The form with the paper's values, where it has such a place, and how far ours are above them."""
    printed = kind.printed()
    titled = form.assign(id_dataset=form["id_dataset"].map(lambda name: titles.get(name, name)))
    if "ood_dataset" in form:
        titled["ood_dataset"] = form["ood_dataset"].map(lambda name: titles.get(name, name))
    values = titled.merge(printed, on=[*kind.place, "column"], how="left", validate="many_to_one")["paper"].to_numpy()
    return form.assign(paper=values, difference=form["mean"] - values)


def disagreeing(form: Form, place: Sequence[str]) -> pd.Series:
    """Whether FIG's improvement over a cell's method has another sign here than in the paper; of a gain, its own."""
    is_gain = form["column"] == GAIN
    fig = form[form["column"] == PATCHED][[*place, "mean", "paper"]]
    both = form[[*place]].merge(fig, on=list(place), how="left").set_index(form.index)
    ours = form["mean"].where(is_gain, both["mean"] - form["mean"])
    theirs = form["paper"].where(is_gain, both["paper"] - form["paper"])
    compared = is_gain if is_gain.any() else ~is_gain
    return (ours * theirs < 0) & compared


def reasons(cells: Cells, values: Values, place: Sequence[str], shown: Shown, gaps: Mapping[Key, str]) -> list[str]:
    """For each cell, why seeds are missing from it; empty where none is."""
    there = set(values[[*place, "seed"]].itertuples(index=False, name=None))
    found = []
    for cell in cells.to_dict("records"):
        names = [(cell["id_dataset"], cell["network"], cell["variant"])]
        if cell["column"] == GAIN:
            names.append((cell["id_dataset"], cell["network"], STANDARD))
        missing = [seed for seed in shown.seeds if (*(cell[name] for name in place), seed) not in there]
        keys = [[(*each, seed) for each in names] for seed in missing]  # a gain may lack either
        found.append(told([key for either in keys for key in [k for k in either if k in gaps] or either], gaps))
    return found
