"""What a target shows of a configuration: studies, seeds, and the names that data sets and variants go by."""

from collections.abc import Iterator
from itertools import product
from typing import Annotated

from pydantic import Field

from fig.settings import Title, Whole, settings

Key = tuple[str, str, str, int]  # id_dataset, network, variant, seed: the four names of a discriminator
Names = Annotated[tuple[str, ...], Field(min_length=1)]


@settings
class Study:
    """Discriminators that are compared: every network and variant on each ID data set, scored on these OOD sets."""

    id_datasets: Names
    """The ID data sets."""
    ood_datasets: Names
    """The OOD sets; their names say how their images were made. All of `groups`, if they are stated instead."""
    networks: Names
    """The networks."""
    variants: Names
    """The variants; `standard` is what pretraining makes."""
    detectors: tuple[str, ...] = ()
    """The detectors; all of the configuration if none are named."""
    targets: tuple[str, ...] = ()
    """The tables and figures that show this study."""
    groups: dict[Title, Names] = Field(default_factory=dict)
    """OOD sets that `openood` and `gains` average together, by the name of the group: `near` and `far`, say."""
    controls: dict[str, Names] = Field(default_factory=dict)
    """The variants that `gains` compares a variant with, by the name of that variant."""

    def names(self) -> Iterator[tuple[str, str, str]]:
        """ID data set, network and variant of each discriminator."""
        return product(self.id_datasets, self.networks, self.variants)


@settings
class Selection:
    """What a target shows."""

    studies: tuple[Study, ...]
    """The studies, each with its detectors."""
    seeds: tuple[Whole, ...]
    """The seeds."""
    titles: dict[str, str] = Field(default_factory=dict)
    """The paper's names of data sets, by ours."""
    variants: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Method of the variants, with teacher and base if they state any."""

    def list_keys(self) -> list[Key]:
        """The discriminators that are shown, each once."""
        return list(dict.fromkeys((*names, seed) for s in self.studies for names in s.names() for seed in self.seeds))

    def files(self, name: str) -> list[str]:
        """This file of every discriminator that is shown, below the run's folder."""
        return [f"discriminators/{'/'.join(map(str, key))}/{name}" for key in self.list_keys()]
