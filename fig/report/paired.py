"""FIG against each other method on the same OOD sets and seeds: differences, intervals, and values to be ranked."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from fig.report import paper
from fig.report.forms import WHERE, common, comparable
from fig.report.gaps import together, told
from fig.report.names import PATCHED
from fig.report.paper import AVERAGE
from fig.report.readable import other_sets
from fig.report.records import Key
from fig.report.render import Table
from fig.report.statistics import interval_over_both, interval_over_seeds
from fig.report.studies import Shown, grid
from fig.report.titles import source_and_way

ALL = "all"
COLUMNS = [*WHERE, "variant", "difference", "low", "high", "low_both", "high_both", "seeds", "ood_datasets", "better"]
COLUMNS += ["paper", "reason"]

Wide = pd.DataFrame  # AUROC; rows are seeds, columns are ID data set, network and OOD set, on which both methods are


def differences(values: pd.DataFrame, asked: pd.DataFrame, variant: str) -> Wide:
    """AUROC of FIG less that of a variant, a column for each OOD set that both are asked for; missing where one is."""
    places = [*WHERE, "ood_dataset"]
    sets = [asked.loc[asked["variant"] == name, places] for name in (PATCHED, variant)]
    columns = pd.MultiIndex.from_frame(sets[0].merge(sets[1], on=places))
    of = {
        name: values[values["variant"] == name].pivot(index="seed", columns=places, values="value")
        for name in (PATCHED, variant)
    }
    seeds = sorted(set(values["seed"]))
    return of[PATCHED].reindex(index=seeds, columns=columns) - of[variant].reindex(index=seeds, columns=columns)


def compared(wide: Wide) -> dict[str, Any]:
    """Mean and intervals of the differences of those seeds that have all OOD sets."""
    whole = wide.dropna()
    values = whole.to_numpy(float)
    if not values.size:
        return {"seeds": 0, "ood_datasets": wide.shape[1]}
    low, high = interval_over_seeds(values.mean(axis=1))
    sources = [source_and_way(name)[0] for name in wide.columns.get_level_values("ood_dataset")]
    low_both, high_both = interval_over_both(values, sources)
    return {
        "difference": values.mean(),
        "low": low,
        "high": high,
        "low_both": low_both,
        "high_both": high_both,
        "seeds": len(whole),
        "ood_datasets": wide.shape[1],
        "better": int((values.mean(axis=0) > 0).sum()),
    }


def printed(id_dataset: str, network: str, variant: str, titles: Mapping[str, str]) -> float:
    """By how much FIG's average exceeds a method's in the paper's Tables 2 and 3; missing where it has none."""
    table = paper.by_method()
    here = table[(table["id_dataset"] == titles.get(id_dataset, id_dataset)) & (table["network"] == network)]
    averages = here[here["ood_dataset"] == AVERAGE].set_index("column")["paper"]
    return averages.get(PATCHED, np.nan) - averages.get(variant, np.nan)


def paired(metrics: pd.DataFrame, shown: Shown, gaps: Mapping[Key, str]) -> pd.DataFrame:
    """FIG against each other method that is shown, on each ID data set and network, then on all that lack no seed.

    Columns are COLUMNS: `low` and `high` bound the interval over seeds, `low_both` and `high_both` that over seeds and
    sources, `better` counts the OOD sets on which FIG is better, `paper` is the paper's difference. Shares of one.
    """
    asked = common(grid(shown.studies))
    values = comparable(metrics, asked)
    variants = [name for name in asked["variant"].unique() if name != PATCHED]
    short = lacking(values, asked, shown.seeds)
    wides = {name: differences(values, asked, name).reindex(list(shown.seeds)) for name in variants}
    places = list(dict.fromkeys(asked[WHERE].itertuples(index=False, name=None)))
    rows = []
    for place, (name, wide) in product(places, wides.items()):
        here = wide.loc[:, wide.columns.droplevel("ood_dataset") == place]
        if not here.columns.empty:
            theirs = printed(*place, name, shown.titles)
            reason = told([key for key in short if key[:3] in ((*place, PATCHED), (*place, name))], gaps)
            names = {**dict(zip(WHERE, place, strict=True)), "variant": name}
            rows.append({**names, **compared(here), "paper": theirs, "reason": reason})
    if len(places) > 1:
        rows += [{"variant": name, **of_all(wide)} for name, wide in wides.items()]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"difference": float, "paper": float})


def lacking(values: pd.DataFrame, asked: pd.DataFrame, seeds: Iterable[int]) -> list[Key]:
    """The discriminators that lack an AUROC on some OOD set that is asked for."""
    there = values.groupby([*WHERE, "variant", "seed"]).size()
    sets = asked.groupby([*WHERE, "variant"], sort=False).size()
    return [(*names, seed) for names, size in sets.items() for seed in seeds if there.get((*names, seed), 0) < size]


def of_all(wide: Wide) -> dict[str, Any]:
    """FIG against a method on all ID data sets and networks that no seed lacks, every OOD set counting alike."""
    pairs = wide.columns.droplevel("ood_dataset")
    lacking = set(pairs[wide.isna().any()])
    network = f"{ALL} but {len(lacking)}" if lacking else ALL
    return {"id_dataset": ALL, "network": network, **compared(wide.loc[:, ~pairs.isin(lacking)]), "reason": ""}


def to_rank(metrics: pd.DataFrame, shown: Shown) -> tuple[pd.DataFrame, int]:
    """AUROC, the mean over seeds, a row for each OOD set of an ID data set and network, a column for each method.

    Only rows that are asked of every method and lack no seed; how many lack one is told beside them.
    """
    asked = common(grid(shown.studies))
    values = comparable(metrics, asked)
    values = values[values["seed"].isin(shown.seeds)]
    places = [*WHERE, "ood_dataset"]
    means = values.groupby([*places, "variant"])["value"].agg(["mean", "count"])
    whole = means.loc[means["count"] == len(shown.seeds), "mean"].unstack("variant")
    variants = asked["variant"].unique()
    methods = asked.groupby(places, sort=False)["variant"].nunique()
    of_all = methods.index[methods == len(variants)]
    table = whole.reindex(index=of_all, columns=variants).dropna()
    return table, len(of_all) - len(table)


def span(low: float, high: float) -> str:
    """An interval as text, in points."""
    return "" if pd.isna(low) else f"{100 * low:+.1f} to {100 * high:+.1f}"


def points(value: float) -> str:
    """A difference as text, in points."""
    return "" if pd.isna(value) else f"{100 * value:+.1f}"


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The comparison for people."""
    rows = [
        {
            "id_dataset": row.id_dataset,
            "network": row.network,
            "FIG less": row.variant,
            "difference": points(row.difference) + (" †" if row.difference * row.paper < 0 else ""),
            "95 % over seeds": span(row.low, row.high),
            "95 % over seeds and sources": span(row.low_both, row.high_both),
            "FIG is better on": f"{row.better:.0f} of {row.ood_datasets} OOD sets" if row.seeds else "",
            "the paper's": points(row.paper),
            "seeds": str(row.seeds),
        }
        for row in table.itertuples()
    ]
    return pd.DataFrame(rows)


def notes(table: pd.DataFrame, shown: Shown) -> Iterator[str]:
    """What one has to know to read the comparison, then what is missing and why."""
    if (table["difference"] * table["paper"] < 0).any():
        yield "† The difference has another sign than in the paper."
    yield (
        f"Over seeds: Student's interval of the averages of {len(shown.seeds)} seeds, OOD sets as they are. Over seeds "
        "and sources: bootstrap that draws seeds and sources of OOD images, each with all its sets, anew; with few of "
        "either it is too narrow (three and four: 75 to 82 % in simulations). Intervals are not corrected for their "
        "number."
    )
    yield (
        "The picture of ranks joins methods that Nemenyi's critical difference at 5 % does not tell apart. It takes "
        "OOD sets as independent, which a source's (r) and (c) are not, so it is smaller than it should be."
    )
    if table["paper"].notna().any():
        yield from other_sets(shown)
    yield from together(table["reason"])


def table_of(table: pd.DataFrame, shown: Shown) -> Table:
    """The comparison as a table."""
    caption = (
        "FIG against each other method: AUROC averaged over OOD sets, FIG's less the other's, in points of per cent"
    )
    return Table("paired", caption, readable(table), list(notes(table, shown)))
