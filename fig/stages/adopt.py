"""Rule adopt: a standard discriminator out of a classifier that is trained already."""

from dataclasses import field
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from fig.runtime.job import Input, Job, JsonSetting, Output, Role, Setting, run_stage
from fig.runtime.record import Times
from fig.settings import Json, settings
from fig.stages.support.training import RECORD, network_modules, network_stages


@settings(kw_only=True)
class Adopt(Job):
    """Take a trained classifier as the standard discriminator, as it is.

    Example: python -m fig.stages.adopt --train data/32/pets/train.npy --network mine --size 32
    --architecture '{"factory": "mymodels:build"}' --weights weights.safetensors
    --output results/mine/discriminators/pets/mine/standard/0
    """

    work: ClassVar[str] = "fig.stages.support.adopting:adopt_classifier"

    train: Input[Path]
    """Prepared training split (.npy), whose classes are the network's."""
    weights: Input[Path]
    """The weights: safetensors, or a state dict."""
    network: Setting[str]
    """Name of the network."""
    architecture: JsonSetting[dict[str, Json]] = field(default_factory=dict)
    """What is stated of the network (width, factory, arguments, …), as JSON."""
    size: Setting[Annotated[int, Field(ge=1)]]
    """Pixels a side of the images as the network sees them."""
    scaling: Setting[str] = "symmetric"
    """Scaling of the input images: symmetric (to [-1, 1]) or standardised (by the training pixels)."""
    seed: Setting[Annotated[int, Field(ge=0)]] = 0
    """Seed in the names of what is made of it."""
    output: Output[Path]
    """Folder of the discriminator, to be written."""

    def modules(self) -> tuple[str, ...]:
        """The module of the network."""
        return network_modules(self.network, self.architecture)

    def factory(self) -> str:
        """Return the module of the network's factory; empty for a network that comes with the project."""
        return str(self.architecture.get("factory", "")).partition(":")[0]

    def values(self, role: Role) -> dict[str, Json]:
        """The fields of a role as JSON has them, with the stages whose outputs detectors will look at."""
        found = super().values(role)
        return found | {"stages": network_stages(self.network)} if role is Role.SETTING else found

    def record_path(self) -> Path:
        """Return the path of the record, next to the weights."""
        return self.output / RECORD

    def run(self, times: Times) -> None:
        """Load the weights, check that they give logits, and write the discriminator's folder."""
        self.load_work()(self)

    def publish(self) -> None:
        """Mirror the discriminator in MLflow."""
        from fig.runtime.tracking import try_to_mirror

        try_to_mirror(self.output)


if __name__ == "__main__":
    run_stage(__spec__.name)
