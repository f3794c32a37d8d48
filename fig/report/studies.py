"""What a table or a figure shows: the rows of the metrics that its studies ask for, and those that are missing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import pandas as pd

from fig.report.records import Key


@dataclass(frozen=True)
class Study:
    """Discriminators that are compared: every network and variant on each ID data set, on these OOD sets."""

    id_datasets: tuple[str, ...]
    ood_datasets: tuple[str, ...]
    networks: tuple[str, ...]
    variants: tuple[str, ...]
    detectors: tuple[str, ...]
    targets: tuple[str, ...] = ()

    @property
    def names(self) -> Iterator[tuple[str, str, str]]:
        """ID data set, network and variant of each discriminator."""
        return product(self.id_datasets, self.networks, self.variants)


@dataclass(frozen=True)
class Shown:
    """What a table or figure is asked to show: its studies, the seeds, and the paper's names of data sets by ours."""

    studies: tuple[Study, ...]
    seeds: tuple[int, ...]
    titles: Mapping[str, str]


def keys_of(studies: Sequence[Study], seeds: Sequence[int]) -> list[Key]:
    """The discriminators of the studies, each once."""
    return list(dict.fromkeys((*names, seed) for study in studies for names in study.names for seed in seeds))


def asked_of(metrics: pd.DataFrame, study: Study) -> pd.Series:
    """Which rows of the metrics a study asks for; rows that are of no detector or OOD set describe a discriminator."""
    return (
        metrics["id_dataset"].isin(study.id_datasets)
        & metrics["network"].isin(study.networks)
        & metrics["variant"].isin(study.variants)
        & metrics["detector"].isin((*study.detectors, ""))
        & metrics["ood_dataset"].isin((*study.ood_datasets, ""))
    )


def grid(studies: Sequence[Study]) -> pd.DataFrame:
    """What the studies ask of every seed: id_dataset, network, variant, detector and ood_dataset, a row for each."""
    rows = [
        (*where, variant, detector, ood)
        for study in studies
        for where in product(study.id_datasets, study.networks)
        for ood in study.ood_datasets
        for variant in study.variants
        for detector in study.detectors
    ]
    names = ["id_dataset", "network", "variant", "detector", "ood_dataset"]
    return pd.DataFrame(rows, columns=names).drop_duplicates(ignore_index=True)
