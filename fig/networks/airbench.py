"""The network of airbench (Jordan, 2024, arXiv:2404.00498), which learns small images with little arithmetic."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = (64, 256, 256)
SIDES = ((1, 1, 1, 1), (1, 1, -1, -1), (1, -1, 1, -1), (1, -1, -1, 1))  # of a patch of 2 x 2 pixels
COLOURS = ((1, 1, 1), (1, 0, -1), (-1, 2, -1))  # brightness and two differences of colours


class Whitening(nn.Module):
    """A fixed stem: each patch of 2 x 2 pixels in twelve uncorrelated directions, of variance one, by both signs.

    Jordan takes the directions from the training images. Those of natural images are nearly a Haar transform of
    opponent colours (over CIFAR10 its values correlate by 0.01 on average, where pixels do by 0.77), and a batch norm
    gives the variance. So this stem needs no images.
    """

    def __init__(self) -> None:
        super().__init__()
        sides, colours = (F.normalize(torch.tensor(each, dtype=torch.float32)) for each in (SIDES, COLOURS))
        directions = torch.einsum("sp,cd->scdp", sides, colours).reshape(12, 3, 2, 2)
        self.register_buffer("directions", directions)
        self.norm = nn.BatchNorm2d(12, affine=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, side, side) -> (B, 24, side - 1, side - 1), none of them negative."""
        found = self.norm(F.conv2d(images, cast(Tensor, self.directions)))  # (B, 12, side - 1, side - 1)
        return torch.cat((found, -found), dim=1).relu()


def make_group(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions with batch norms, of which the first halves the side."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def airbench(classes: int, width: float, small: bool) -> nn.Module:
    """Its whitened stem, three groups and the maximum over places; ReLU in place of GELU, and batch norms that scale.

    Large images enter as small ones do; only the groups are wider or narrower.
    """
    sizes = [max(1, round(size * width)) for size in GROUPS]
    network = nn.Sequential()
    network.add_module("stem", Whitening())
    for number, (inputs, outputs) in enumerate(zip([24, *sizes], sizes, strict=False), start=1):
        network.add_module(f"group{number}", make_group(inputs, outputs))
    network.add_module("pool", nn.AdaptiveMaxPool2d(1))
    network.add_module("flat", nn.Flatten())
    network.add_module("head", nn.Linear(sizes[-1], classes))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
