"""What a target shows of a configuration: studies, seeds, and the names that data sets and variants go by."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

Key = tuple[str, str, str, int]  # id_dataset, network, variant, seed: the four names of a discriminator


@dataclass(frozen=True)
class Study:
    """Discriminators that are compared: every network and variant on each ID data set, scored on these OOD sets."""

    id_datasets: tuple[str, ...]
    ood_datasets: tuple[str, ...]
    networks: tuple[str, ...]
    variants: tuple[str, ...]
    detectors: tuple[str, ...]

    def names(self) -> Iterator[tuple[str, str, str]]:
        """ID data set, network and variant of each discriminator."""
        return product(self.id_datasets, self.networks, self.variants)


@dataclass(frozen=True)
class Selection:
    """What a target shows."""

    studies: tuple[Study, ...]
    seeds: tuple[int, ...]
    titles: Mapping[str, str] = field(default_factory=dict)  # the paper's names of data sets, by ours
    variants: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # method and teacher, as configured

    def keys(self) -> list[Key]:
        """The discriminators that are shown, each once."""
        return list(dict.fromkeys((*names, seed) for s in self.studies for names in s.names() for seed in self.seeds))

    def files(self, name: str) -> list[str]:
        """This file of every discriminator that is shown, below the run's folder."""
        return [f"discriminators/{'/'.join(map(str, key))}/{name}" for key in self.keys()]
