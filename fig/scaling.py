"""How pixels enter a network: (pixel - mean) / std, and any network as one of images in [-1, 1]."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fig.settings import Json, settings


@settings
class Scaling:
    """Pixels in [0, 1] enter a network as (pixel - mean) / std; one value stands for all channels.

    The default takes them to [-1, 1].
    """

    mean: tuple[float, ...] = (0.5,)
    """Of each channel."""
    std: tuple[float, ...] = (0.5,)
    """Of each channel."""

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std) or min(self.std) <= 0:
            raise ValueError(f"mean is {self.mean} and std {self.std}: as many numbers are needed, and std above 0")

    def black(self, like: Tensor) -> Tensor:
        """How a pixel of 0 enters: (channels or 1, 1, 1), on the device of a tensor."""
        return -self.values(self.mean, like) / self.values(self.std, like)

    def unit(self, like: Tensor) -> Tensor:
        """How far apart pixels of 0 and 1 enter: (channels or 1, 1, 1), on the device of a tensor."""
        return 1 / self.values(self.std, like)

    @staticmethod
    def values(numbers: tuple[float, ...], like: Tensor) -> Tensor:
        """Numbers of the channels as (channels or 1, 1, 1), on the device of a tensor."""
        return like.new_tensor(numbers, dtype=torch.float32).view(-1, 1, 1)

    @property
    def symmetric(self) -> bool:
        """Whether it takes pixels to [-1, 1]."""
        return {*self.mean, *self.std} == {0.5}


SYMMETRIC = Scaling()  # to [-1, 1]
PIXELS = Scaling((0.0,), (1.0,))  # none: a network of pixels in [0, 1]


def find_scaling(source: object) -> Scaling:
    """The scaling that a `Scaling`, a pair (mean, std), or what other libraries keep one in states.

    These are: a mapping with `mean` and `std` (timm's data configuration), an object with `image_mean` and `image_std`
    (a Hugging Face image processor), one with `mean` and `std` (torchvision's Normalize), or with `transforms`, of
    which the last that has both counts (torchvision's Compose; without any, pixels enter in [0, 1]). Raises ValueError
    for anything else.
    """
    if isinstance(source, Scaling):
        return source
    if isinstance(source, tuple | list) and len(source) == 2:
        return Scaling(as_floats(source[0]), as_floats(source[1]))
    if isinstance(source, Mapping):
        source = as_pair(source.get("mean"), source.get("std"))
    elif hasattr(source, "transforms"):
        pairs = [pair_in(each) for each in source.transforms]
        found = [pair for pair in pairs if pair]
        return Scaling(*found[-1]) if found else PIXELS
    else:
        source = pair_in(source)
    if source is None:
        raise ValueError("no scaling can be found in it: give scaling=(mean, std), as the network expects its images")
    return Scaling(*source)


Pair = tuple[tuple[float, ...], tuple[float, ...]]


def pair_in(source: object) -> Pair | None:
    """Mean and std of an object that has them, if it does."""
    mean, std = getattr(source, "mean", None), getattr(source, "std", None)
    return as_pair(getattr(source, "image_mean", mean), getattr(source, "image_std", std))


def as_pair(mean: Json, std: Json) -> Pair | None:
    """Mean and std, where there are both."""
    return None if mean is None or std is None or callable(mean) else (as_floats(mean), as_floats(std))


def as_floats(values: Json) -> tuple[float, ...]:
    """A number, a sequence or a tensor of numbers as a tuple."""
    return tuple(torch.as_tensor(values, dtype=torch.float64).reshape(-1).tolist())


class Rescaled(nn.Module):
    """A network that takes images in [-1, 1], in which chains move, and scales them as the one within expects.

    The weights of the network within are named `network.…`.
    """

    def __init__(self, network: nn.Module, scaling: Scaling) -> None:
        super().__init__()
        self.network = network
        self.scaling = scaling

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, channels, h, w) in [-1, 1] -> logits (B, classes)."""
        logits: Tensor = self.network(rescale(images, self.scaling))
        return logits


def rescaled(network: nn.Module, scaling: Scaling) -> nn.Module:
    """A network of this scaling as one of images in [-1, 1]: itself, where it is one already."""
    return network if scaling.symmetric else Rescaled(network, scaling)


def rescale(images: Tensor, scaling: Scaling) -> Tensor:
    """Images in [-1, 1] as a network of this scaling takes them."""
    if scaling.symmetric:
        return images
    return scaling.black(images) + (images + 1) / 2 * scaling.unit(images)


def unscale(inputs: Tensor, scaling: Scaling) -> Tensor:
    """What a network of this scaling takes, as images in [-1, 1]: the inverse of `rescale`."""
    if scaling.symmetric:
        return inputs
    return 2 * (inputs - scaling.black(inputs)) / scaling.unit(inputs) - 1
