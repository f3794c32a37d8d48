"""The discriminator: a network together with the scaling of its input images, saved so that it can be rebuilt."""

import json
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor, nn

from fig.files import replacing
from fig.intact import read_object
from fig.networks.outputs import as_logits, bare
from fig.networks.weights import describe_misfit, put_weights, weights_in
from fig.scaling import SYMMETRIC, Scaling, rescaled
from fig.settings import Json, Positive, Whole, read_settings, settings

Channels = tuple[float, float, float]
Name = Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f]*$")]  # becomes part of paths


@settings
class Architecture:
    """All that building a discriminator needs, except its weights."""

    network: str
    """A name of fig.networks.table or, with a factory, a name that you choose."""
    classes: Annotated[int, Field(ge=1, le=10**8)]
    """Number of classes."""
    size: Annotated[int, Field(ge=1, le=4096)]
    """Pixels a side of the images."""
    width: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Factor of the number of channels of every layer."""
    mean: Channels = (0.5, 0.5, 0.5)
    """Pixels in [0, 1] enter the network as (pixel - mean) / std; the default takes them to [-1, 1]."""
    std: tuple[Positive, Positive, Positive] = (0.5, 0.5, 0.5)
    """See `mean`; chains move in [-1, 1], which for your own network are all pixels in any scaling."""
    factory: str = ""
    """Function that makes your own network: package.module:function."""
    arguments: dict[str, Json] = field(default_factory=dict)
    """Arguments of the factory."""
    taps: tuple[str, ...] = ()
    """Submodules whose outputs detectors look at; the stages unless given."""
    head: str = "linear"
    """A name of fig.networks.heads, in place of the last linear layer."""

    @property
    def scaling(self) -> Scaling:
        """The scaling from pixels to the input of `Discriminator.network`.

        A network from a factory takes images in [-1, 1] and applies `mean` and `std` itself.
        """
        return SYMMETRIC if self.factory else Scaling(self.mean, self.std)


@settings
class Card:
    """The content of `discriminator.json`: the architecture, and how the weights were trained."""

    architecture: Architecture
    id_dataset: Name
    variant: Name
    seed: Whole
    key: str  # provenance key
    provenance: dict[str, Json] = field(default_factory=dict)  # what the key was made of, command and versions
    settings: dict[str, Json] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()  # in the order of the logits; empty where they are not known

    def __post_init__(self) -> None:
        if self.class_names and len(self.class_names) != self.architecture.classes:
            what = f"{len(self.class_names)} names, but the network has {self.architecture.classes} classes"
            raise ValueError(f"class_names has {what}: state one for each, or none")


def network_of(architecture: Architecture, seed: int) -> nn.Module:
    """Build a freshly initialised network; `seed` alone determines the weights."""
    from fig.networks.building import (
        build,  # torchvision takes seconds to import: only where a network is built
        made_by,
    )
    from fig.networks.heads import with_head

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        example = torch.zeros(1, 3, architecture.size, architecture.size)
        if not architecture.factory:
            network = build(architecture.network, architecture.classes, architecture.size, architecture.width, seed)
            return with_head(network, architecture.head, example)
        network = as_logits(made_by(architecture.factory, architecture.arguments), example)
        headed = with_head(network, architecture.head, example)
        return rescaled(headed, Scaling(architecture.mean, architecture.std))


class Discriminator(nn.Module):
    """A classifier of uint8 images: (B, 3, size, size) -> logits (B, classes).

    It includes the scaling, so nobody can feed it wrongly scaled images. `network` alone takes scaled images, and the
    sampler follows it.
    """

    def __init__(self, architecture: Architecture, seed: int = 0) -> None:
        super().__init__()
        self.architecture = architecture
        self.network = network_of(architecture, seed).to(memory_format=torch.channels_last)
        self.origin: Path | None = None  # the folder that it was loaded from

    def scaled(self, images: Tensor) -> Tensor:
        """Scale images for `network`: uint8 (B, 3, size, size) -> float of the same shape."""
        size = self.architecture.size
        if images.dtype != torch.uint8 or images.shape[1:] != (3, size, size):
            raise ValueError(f"images are {images.dtype} {tuple(images.shape)}, not uint8 (batch, 3, {size}, {size})")
        scaling = self.architecture.scaling
        mean, std = (scaling.values(numbers, images) * 255 for numbers in (scaling.mean, scaling.std))
        return (images.float() - mean) / std

    @property
    def range(self) -> tuple[Tensor, Tensor]:
        """Black and unit (3, 1, 1): a pixel p in [0, 1] enters the network as black + p unit."""
        like, scaling = torch.empty(3, 1, 1, device=self.device), self.architecture.scaling
        return scaling.black(like).expand_as(like), scaling.unit(like).expand_as(like)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of uint8 images (B, 3, size, size)."""
        logits: Tensor = self.network(self.scaled(images))
        return logits

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image."""
        return (3, self.architecture.size, self.architecture.size)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write weights, card and a model card into a folder in the format of the Hugging Face hub.

        The evaluation is copied too if the weights have not changed since they were loaded from a folder.
        """
        from fig import hub

        hub.save_pretrained(self, Path(folder))

    def push_to_hub(self, repository: str, **options: object) -> str:
        """Push what `save_pretrained` writes to a repository of the hub; return the commit's URL.

        The options are those of huggingface_hub's ModelHubMixin.push_to_hub: private, token, branch, create_pr, ...
        """
        from fig import hub

        return hub.push(self, repository, options)

    @classmethod
    def from_pretrained(cls, name: str | Path, *, trust_factory: bool = False, **options: object) -> "Discriminator":
        """Load the discriminator in a folder or in a repository of the hub, in eval mode.

        A custom network is made by a factory, which is code and runs only with `trust_factory`. The options are those
        of huggingface_hub's snapshot_download: revision, token, cache_dir, local_files_only, ...
        """
        from fig import hub

        return hub.pull(str(name), options, trust_factory)


def save(folder: Path, discriminator: Discriminator, card: Card) -> None:
    """Write `model.safetensors` and `discriminator.json` into `folder`: both or, where the disk is full, neither.

    The card takes its place last, so that it never describes weights that are not there yet.
    """
    weights = {name: value.contiguous() for name, value in bare(discriminator.network).state_dict().items()}
    with replacing(folder / "discriminator.json") as described, replacing(folder / "model.safetensors") as partial:
        described.write_text(json.dumps(asdict(card), indent=2) + "\n")
        save_file(weights, partial)


def load_card(folder: Path) -> Card:
    """Read `discriminator.json` in `folder`."""
    path = folder / "discriminator.json"
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no discriminator.json: it is not a discriminator's folder")
    return read_settings(Card, read_object(path), str(path))


def load(folder: Path, trust_factory: bool = False) -> Discriminator:
    """Rebuild the discriminator that was saved into `folder`.

    A factory that its card names is code and runs only with `trust_factory`. Raises ValueError naming a file that is
    damaged or does not fit the other one.
    """
    card, weights = load_card(folder), folder / "model.safetensors"
    built, found = card.architecture, weights_in(weights)
    if not trust_factory:
        check_no_factory(folder, card)
    try:
        if not built.factory and (misfit := describe_misfit(found, list_weights(built))):  # before it takes memory
            what = f"{weights.name} is not of its network {built.network}: {misfit}"
            raise ValueError(f"{what}; copy both files again, from one discriminator")
        discriminator = Discriminator(built)
    except ValueError as error:
        raise ValueError(f"{folder / 'discriminator.json'}: {error}") from error
    put_weights(bare(discriminator.network), found, weights)
    discriminator.origin = folder
    return discriminator


def check_no_factory(folder: Path, card: Card) -> None:
    """Raise ValueError if the card in a folder names a factory, because loading it would run code."""
    if factory := card.architecture.factory:
        what = f"{folder / 'discriminator.json'} names the factory {factory}, which is code"
        raise ValueError(f"{what}: trust_factory=True, or --trust-factory, runs it if you trust who made the folder")


def list_weights(architecture: Architecture) -> dict[str, Tensor]:
    """The weights of a network that comes with the project by their names, without values."""
    with torch.device("meta"):
        return Discriminator(architecture).network.state_dict()
