"""The networks that one chooses by name: torchvision's bodies, with the usual stems where images are small."""

from collections.abc import Callable

import torch
from torch import nn

from fig.networks.densenet import densenet100
from fig.networks.resnet import resnet18
from fig.networks.shufflenet import shufflenetv2
from fig.networks.vgg import vgg19

SMALL = 64  # images of fewer pixels a side get the stem that keeps their resolution

NETWORKS: dict[str, Callable[[int, float, bool], nn.Module]] = {
    "resnet18": resnet18,
    "vgg19": vgg19,
    "shufflenetv2": shufflenetv2,
    "densenet100": densenet100,
}


def build(name: str, classes: int, image_size: int, width: float = 1.0, seed: int = 0) -> nn.Module:
    """A freshly initialised network: images (B, 3, image_size, image_size) -> logits (B, classes).

    `width` multiplies the number of channels of every layer; `seed` alone determines the weights.
    """
    if name not in NETWORKS:
        raise ValueError(f"no network is called {name!r}: choose one of {', '.join(NETWORKS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[name](classes, width, image_size < SMALL)
