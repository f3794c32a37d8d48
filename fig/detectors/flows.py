"""Normalising flows of features: a linear flow that whitens, and residual affine couplings for all classes at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log, pi
from typing import cast

import torch
from torch import Tensor, nn

SMALLEST = 1e-5  # singular value, as in the authors' code: directions with less count as constant


@dataclass(frozen=True)
class LinearFlow:
    """The linear flow: features less their mean, in the directions in which they vary, with unit variance."""

    matrix: Tensor  # (D, k), k even: the couplings split it in halves
    log_determinant: float

    @staticmethod
    def of(covariance: Tensor) -> "LinearFlow":
        """The flow of features with this covariance (D, D).

        Raises ValueError where they vary in fewer than two directions.
        """
        variances, vectors = torch.linalg.eigh(covariance)  # rising
        deviations = variances.clamp(min=0).sqrt()
        kept = int((deviations > SMALLEST).sum())
        kept -= kept % 2
        if not kept:
            raise ValueError("features that vary in fewer than two directions have no flow: they are nearly constant")
        deviations, vectors = deviations[-kept:], vectors[:, -kept:]
        return LinearFlow(vectors / deviations, -deviations.log().sum().item())

    def __call__(self, centred: Tensor) -> Tensor:
        """Whitened features: (..., D) -> (..., k)."""
        return centred @ self.matrix


class ResidualFlows(nn.Module):
    """One residual flow for each class, as stacked tensors: affine couplings that start as the identity.

    A coupling leaves one half of the variables as they are and takes the other to (z - t) exp(-s), with s and t
    networks of the first; halves alternate, and after each pair of couplings the variables are permuted. Zisselman
    and Tamar's networks read and write all variables with one half masked out, which is the same function.
    """

    orders: Tensor  # (couplings // 2, k): a permutation after every second coupling

    def __init__(self, classes: int, size: int, hidden: int, couplings: int, generator: torch.Generator) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(Coupling(classes, size, hidden, generator) for _ in range(couplings))
        orders = [torch.randperm(size, generator=generator) for _ in range(couplings // 2)]
        self.register_buffer("orders", torch.stack(orders) if orders else torch.zeros(0, size, dtype=torch.long))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals and log-determinants of classes' whitened features: (C, B, k) -> (C, B, k), (C, B)."""
        total = z.new_zeros(z.shape[:2])
        for number, coupling in enumerate(self.couplings):
            first, second = z.chunk(2, dim=2)
            if number % 2:
                first, log_determinant = coupling(first, second)
            else:
                second, log_determinant = coupling(second, first)
            z, total = torch.cat([first, second], dim=2), total + log_determinant
            if number % 2:
                z = permuted(z, self.orders[number // 2])
        return z, total

    def each(self) -> Iterator["Coupling"]:
        """The couplings in turn."""
        return (cast(Coupling, each) for each in self.couplings)  # a ModuleList does not say of which modules

    def inverse(self, z: Tensor) -> Tensor:
        """Whitened features of residuals: (C, B, k) -> (C, B, k)."""
        for number, coupling in reversed(list(enumerate(self.each()))):
            if number % 2:
                z = permuted(z, self.orders[number // 2].argsort())
            first, second = z.chunk(2, dim=2)
            if number % 2:
                first = coupling.inverse(first, second)
            else:
                second = coupling.inverse(second, first)
            z = torch.cat([first, second], dim=2)
        return z

    def log_density(self, z: Tensor) -> Tensor:
        """Log densities of classes' whitened features: (C, B, k) -> (C, B)."""
        residual, log_determinant = self(z)
        densities: Tensor = log_determinant - 0.5 * (residual.square().sum(dim=2) + z.shape[2] * log(2 * pi))
        return densities


class Coupling(nn.Module):
    """Affine couplings of all classes: s and t are networks of three layers, whose last starts at zero."""

    def __init__(self, classes: int, size: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.s = Layers(classes, size, hidden, generator)
        self.t = Layers(classes, size, hidden, generator)
        self.scale = nn.Parameter(torch.ones(classes, 1, size // 2))

    def shift(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """S and t of the half that stays: (C, B, k / 2) -> (C, B, k / 2) twice."""
        return self.scale * self.s(given).tanh(), self.t(given)

    def forward(self, moved: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """The half that moves, and the log-determinant: (C, B, k / 2), (C, B)."""
        s, t = self.shift(given)
        return (moved - t) * (-s).exp(), -s.sum(dim=2)

    def inverse(self, moved: Tensor, given: Tensor) -> Tensor:
        """What `forward` took to `moved`."""
        s, t = self.shift(given)
        return moved * s.exp() + t


class Layers(nn.Module):
    """Three linear layers for each class, leaky rectifiers between them, as batched products."""

    def __init__(self, classes: int, size: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        shapes = [(size // 2, hidden), (hidden, hidden), (hidden, size // 2)]
        bounds = [size**-0.5, hidden**-0.5, 0.0]  # torch's own for linear layers of all variables; the last is zero
        self.weights = nn.ParameterList(
            uniform((classes, *s), b, generator) for s, b in zip(shapes, bounds, strict=True)
        )
        self.biases = nn.ParameterList(
            uniform((classes, 1, s[1]), b, generator) for s, b in zip(shapes, bounds, strict=True)
        )

    def forward(self, z: Tensor) -> Tensor:
        """(C, B, k / 2) -> (C, B, k / 2)."""
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if number:
                z = nn.functional.leaky_relu(z, 0.01)
            z = torch.baddbmm(bias, z, weight)
        return z


def permuted(z: Tensor, order: Tensor) -> Tensor:
    """The variables of (C, B, k) in this order (k,); on CPU `gather` takes a fifth of the time that indexing does."""
    return z.gather(2, order.expand_as(z))


def uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> nn.Parameter:
    """Weights drawn from U(-bound, bound)."""
    return nn.Parameter((2 * torch.rand(shape, generator=generator) - 1) * bound)
