"""Heads: what turns a network's last features into logits."""

from typing import ClassVar

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


class LogitNormHead(nn.Linear):
    """LogitNorm (Wei et al., ICML 2022): in training logits / (||logits|| + 1e-7) / 0.04, in testing the logits."""

    temperature = 0.04

    def forward(self, features: Tensor) -> Tensor:
        """Logits of the features: (B, D) -> (B, C)."""
        logits = super().forward(features)
        return logits / (logits.norm(dim=-1, keepdim=True) + 1e-7) / self.temperature if self.training else logits


class ScaledHead(nn.Linear):
    """Logits of features times `scale`, which are normalised before that in training."""

    scale: ClassVar[float]

    def normalise(self, features: Tensor) -> Tensor:
        """Features as training takes them: (B, D) -> (B, D)."""
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        """Logits of the features: (B, D) -> (B, C)."""
        return super().forward(self.scale * (self.normalise(features) if self.training else features))


class T2FNormHead(ScaledHead):
    """T2FNorm (Regmi et al., CVPR Workshops 2024): features of length one, at the temperature 0.1."""

    scale = 1 / 0.1

    def normalise(self, features: Tensor) -> Tensor:
        """Features of length one: (B, D) -> (B, D)."""
        return F.normalize(features, dim=-1)


class ZScoreHead(ScaledHead):
    """ASCOOD's (Regmi, CVPR 2026): each image's features have mean 0 and deviation 0.5.

    The authors' network normalises in testing too, and their best results are of one that does not; its code is not
    published. Here features are multiplied by 0.5 in testing, as T2FNorm's are divided by its temperature.
    """

    scale = 0.5

    def normalise(self, features: Tensor) -> Tensor:
        """Features less their mean over their deviation: (B, D) -> (B, D)."""
        return (features - features.mean(dim=-1, keepdim=True)) / (features.std(dim=-1, keepdim=True) + 1e-6)


def weights_of(linear: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weights (C, D) and biases (C,) by which a last linear layer turns features into logits in eval mode."""
    scale = linear.scale if isinstance(linear, ScaledHead) else 1.0
    bias = linear.bias if linear.bias is not None else linear.weight.new_zeros(len(linear.weight))
    return scale * linear.weight, bias


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
        raise ValueError("the network has no linear layer, so its penultimate features do not exist")
    return names[called[-1]], called[-1]


NORMALISED = {  # in training alone; they take over a linear layer's weights
    "logitnorm": LogitNormHead,
    "t2fnorm": T2FNormHead,
    "ascood": ZScoreHead,
}
HEADS = ("linear", "deconf", *NORMALISED)


def with_head(network: nn.Module, head: str, images: Tensor) -> nn.Module:
    """The network with its last linear layer replaced by the head of this name; `linear` leaves it as it is.

    A head that normalises takes over the layer's weights under their names. `images` (B, channels, h, w) are any that
    the network takes.

    Raises ValueError for a head that there is not, or a network without a linear layer.
    """
    if head not in HEADS:
        raise ValueError(f"no head is called {head!r}: choose one of {', '.join(HEADS)}")
    if head == "linear":
        return network
    name, linear = last_linear(network, images)
    if head == "deconf":
        network.set_submodule(name, DeconfHead(linear.in_features, linear.out_features))
    else:
        made = NORMALISED[head](linear.in_features, linear.out_features, linear.bias is not None)
        made.weight, made.bias = linear.weight, linear.bias
        network.set_submodule(name, made)
    return network
