"""The common part of jobs that train a discriminator; torch is imported when they run."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from fig.methods.table import METHODS, module_of_method
from fig.networks.table import NETWORKS, UNKNOWN, module_of_network
from fig.runtime.job import Input, Job, JsonSetting, Output, Role, Runtime, Setting, plain
from fig.runtime.provenance import file_hash
from fig.runtime.record import Times
from fig.settings import Augmentation, Json, Pretraining, Resources, TrainingSettings, read_settings, settings

RECORD = "training.record.json"  # of any job that makes a discriminator


@settings(kw_only=True)
class Training(Job):
    """What decides a training's result, and where it goes."""

    work: ClassVar[str] = "fig.stages.support.trainer:train_on_workers"

    train: Input[Path]
    """Prepared training split (.npy)."""
    variant: Setting[str] = "standard"
    """Name of the variant, for its card."""
    seed: Setting[Annotated[int, Field(ge=0)]] = 0
    """Seed of weights, batches, crops and chains."""
    method: Setting[str] = "standard"
    """Name of the method."""
    settings: JsonSetting[dict[str, Json]] = field(default_factory=dict)
    """What differs from the method's default settings, as JSON."""
    training: Setting[TrainingSettings]
    """How the weights are trained."""
    augmentation: Setting[Augmentation]
    """How training images are cropped and mirrored."""
    output: Output[Path]
    """Folder of the discriminator, to be written."""
    checkpoints: Runtime[Path]
    """Folder for the checkpoints of unfinished trainings."""
    resources: Runtime[Resources] = Resources()
    """Workers, and what each of them gets."""

    def modules(self) -> tuple[str, ...]:
        """The method's module."""
        return (module_of_method(self.method),)

    def values(self, role: Role) -> dict[str, Json]:
        """The fields of a role as JSON has them, the method's settings complete."""
        found = super().values(role)
        if role is Role.SETTING:
            complete = read_settings(METHODS[self.method].settings, self.settings, f"settings of {self.method}")
            found["settings"] = plain(complete)
        return found

    def record_path(self) -> Path:
        """Return the path of the record, next to the weights."""
        return self.output / RECORD

    def parents(self) -> Iterator[Path]:
        """Return the folders of the discriminators that it starts from or follows."""
        return iter(())

    def key(self) -> str:
        """The provenance key: of what it is made of, the very weights of its parents included."""
        weights = [file_hash(folder / "model.safetensors") for folder in self.parents()]
        return hashlib.sha256("-".join([self.origin().key, *weights]).encode()).hexdigest()[:16]

    def run(self, times: Times) -> None:
        """Train on Ray's workers, from the last checkpoint if there is one."""
        self.load_work()(self, times)

    def publish(self) -> None:
        """Mirror the discriminator in MLflow."""
        from fig.runtime.tracking import try_to_mirror

        try_to_mirror(self.output)


@settings(kw_only=True)
class FromRandomWeights(Training):
    """A training of a new network."""

    training: Setting[Pretraining] = Pretraining()
    """How the weights are trained."""
    network: Setting[str]
    """Name of the network."""
    architecture: JsonSetting[dict[str, Json]] = field(default_factory=dict)
    """What is stated of the network (width, factory, arguments, …), as JSON."""
    scaling: Setting[str] = "symmetric"
    """Scaling of the input images: symmetric (to [-1, 1]) or standardised (by the training pixels)."""

    def modules(self) -> tuple[str, ...]:
        """Return the modules of the method and of the network."""
        return (*super().modules(), *network_modules(self.network, self.architecture))

    def factory(self) -> str:
        """Return the module of the network's factory; empty for a network that comes with the project."""
        return str(self.architecture.get("factory", "")).partition(":")[0]

    def values(self, role: Role) -> dict[str, Json]:
        """The fields of a role as JSON has them, with the stages whose outputs detectors will look at."""
        found = super().values(role)
        return found | {"stages": network_stages(self.network)} if role is Role.SETTING else found


def network_modules(network: str, architecture: Mapping[str, Json]) -> tuple[str, ...]:
    """Return the module of a network that comes with the project; empty for a network with a factory."""
    return () if architecture.get("factory") else (module_of_network(network),)


def network_stages(network: str) -> list[str]:
    """The submodules whose outputs are a network's features, as far as its row states them."""
    row = NETWORKS.get(network, UNKNOWN)
    return [*row.stem, *row.stages]
