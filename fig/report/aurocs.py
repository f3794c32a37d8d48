"""The AUROC of every discriminator that a figure shows: what is missing stays empty, and so does each mean over it."""

from collections.abc import Sequence
from itertools import product

import pandas as pd

from fig.report.names import COMMON, COMPARABLE, STANDARD
from fig.report.records import Key
from fig.report.studies import Study, asked_of

NAMES = ["id_dataset", "network", "variant", "seed"]


def asked(studies: Sequence[Study], seeds: Sequence[int]) -> pd.DataFrame:
    """What the studies ask for, each once: id_dataset, network, variant, seed, ood_dataset."""
    rows = [(*names, seed, ood) for s in studies for names, seed, ood in product(s.names, seeds, s.ood_datasets)]
    return pd.DataFrame(rows, columns=[*NAMES, "ood_dataset"]).drop_duplicates(ignore_index=True)


def aurocs(metrics: pd.DataFrame, studies: Sequence[Study], seeds: Sequence[int]) -> pd.DataFrame:
    """AUROC of all that the studies ask for, under one detector: the rows of `asked` with `auroc`.

    The detector is the one that all share, or the first of a study without it. Where it has settings, ID images alone
    have chosen them. An AUROC is missing where there is no metric.
    """
    columns = [*NAMES, "ood_dataset"]
    wanted = pd.Series(False, index=metrics.index)
    for study in studies:
        detector = COMMON if COMMON in study.detectors else study.detectors[0]
        wanted |= asked_of(metrics, study) & (metrics["detector"] == detector)
    wanted &= (metrics["metric"] == "auroc") & metrics["protocol"].isin(COMPARABLE)
    found = metrics.loc[wanted, [*columns, "value"]].rename(columns={"value": "auroc"})
    return asked(studies, seeds).merge(found.drop_duplicates(columns), on=columns, how="left")


def on_shared_sets(metrics: pd.DataFrame) -> pd.DataFrame:
    """The rows on those OOD sets that everything of an ID data set and network was scored on, so that means compare.

    What is of no OOD set stays.
    """
    where = ["id_dataset", "network"]
    scored = metrics[metrics["ood_dataset"] != ""]
    units = scored[[*where, "variant", "seed", "detector", "ood_dataset"]].drop_duplicates()
    scorings = units.groupby([*where, "ood_dataset"]).size()
    everything = units.drop(columns="ood_dataset").drop_duplicates().groupby(where).size()
    shared = scorings[scorings == everything.reindex(scorings.index.droplevel("ood_dataset")).to_numpy()].index
    kept = pd.MultiIndex.from_frame(metrics[[*where, "ood_dataset"]]).isin(shared)
    return metrics[kept | (metrics["ood_dataset"] == "")]


def over_sets(table: pd.DataFrame, column: str = "auroc") -> pd.DataFrame:
    """Means over all OOD sets, missing where one is: `column` by id_dataset, network, variant, seed."""
    grouped = table.groupby(NAMES, sort=False)[column]
    return grouped.agg(lambda values: values.mean(skipna=False)).reset_index()


def over_seeds(table: pd.DataFrame, by: Sequence[str], column: str = "auroc") -> pd.DataFrame:
    """Mean and sample standard deviation over all seeds, missing where one is, and how many seeds there are."""
    grouped = table.groupby(list(by), sort=False)[column]
    return grouped.agg(
        mean=lambda values: values.mean(skipna=False), sd=lambda values: values.std(skipna=False), seeds="count"
    ).reset_index()


def beside_standard(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows of all variants but standard, with `column` of the standard discriminator as `<column>_of_standard`.

    It is the one of the same seed, under whatever else the table's rows are of; missing where it is.
    """
    pair = [name for name in table.columns if name not in ("variant", column)]
    is_standard = table["variant"] == STANDARD
    standard = table.loc[is_standard, [*pair, column]]
    return table[~is_standard].merge(standard, on=pair, suffixes=("", "_of_standard"), how="left")


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """AUROC less that of the standard discriminator of the same seed on the same OOD set, as a column `gain`.

    Raises ValueError where the standard discriminator is not asked for.
    """
    if STANDARD not in set(table["variant"]):
        raise ValueError("an improvement is over the standard discriminator: name standard in the study's variants")
    both = beside_standard(table, "auroc")
    return both.assign(gain=both["auroc"] - both.pop("auroc_of_standard"))


def lacking(table: pd.DataFrame) -> list[Key]:
    """The discriminators of which an AUROC is missing."""
    rows = table.loc[table["auroc"].isna(), NAMES].drop_duplicates()
    return list(rows.itertuples(index=False, name=None))
