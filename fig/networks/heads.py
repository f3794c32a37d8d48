"""Heads: what turns a network's last features into logits."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fig.frozen import frozen

SMALL = 1e-4  # of the authors' reproductions: keeps the norm of features that are all zero from dividing by it


def unit_rows(rows: Tensor) -> Tensor:
    """Rows of length one: (..., D) -> (..., D)."""
    lengths: Tensor = rows.norm(dim=-1, keepdim=True)
    return rows / (lengths + SMALL)


class Cosine(nn.Module):
    """Cosines of features with one direction for each class: (B, D) -> (B, C), in [-1, 1]."""

    undecayed = ("weight",)  # the length of a direction means nothing: weight decay would only shrink it

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, features))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        """Cosines: (B, D) -> (B, C)."""
        return F.linear(unit_rows(features), unit_rows(self.weight))


class DeconfHead(nn.Module):
    """The decomposed confidence of Generalized ODIN (Hsu et al., CVPR 2020): logits h(x) / g(x).

    h is the similarity to each class, g in (0, 1) how certain it is that the image is in-distribution at all.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.similarity = Cosine(features, classes)
        self.certainty = nn.Sequential(nn.Linear(features, 1), nn.BatchNorm1d(1), nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        """Logits of the features: (B, D) -> (B, C)."""
        logits: Tensor = self.similarity(features) / self.certainty(features)
        return logits


def last_linear(network: nn.Module, images: Tensor) -> tuple[str, nn.Linear]:
    """Name and module of the linear layer that is called last in a forward pass of `images` (B, channels, h, w).

    It gives the logits of most networks. Raises ValueError where none is called.
    """
    called: list[nn.Linear] = []

    def note(module: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        called.append(module)

    names = {module: name for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    handles = [module.register_forward_hook(note) for module in names]
    try:
        with frozen(network), torch.no_grad():
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    if not called:
        raise ValueError("the network has no linear layer, so its penultimate features cannot be had")
    return names[called[-1]], called[-1]


HEADS = ("linear", "deconf")


def with_head(network: nn.Module, head: str, images: Tensor) -> nn.Module:
    """The network with its last linear layer replaced by the head of this name; `linear` leaves it as it is.

    `images` (B, channels, h, w) are any that it takes.

    Raises ValueError for a head that there is not, or a network without a linear layer.
    """
    if head not in HEADS:
        raise ValueError(f"no head is called {head!r}: choose one of {', '.join(HEADS)}")
    if head == "deconf":
        name, linear = last_linear(network, images)
        network.set_submodule(name, DeconfHead(linear.in_features, linear.out_features))
    return network
