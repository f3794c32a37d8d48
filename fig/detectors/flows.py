"""Normalising flows of features: a linear flow that whitens, and residual affine couplings for all classes at once."""

from dataclasses import dataclass
from math import log, pi

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction, FunctionCtx, once_differentiable

leaky_relu_backward, tanh_backward = torch.ops.aten.leaky_relu_backward.grad_input, torch.ops.aten.tanh_backward

SMALLEST = 1e-5  # singular value, as in the authors' code: directions with less count as constant
SLOPE = 0.01  # of the leaky rectifiers


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
    Within, variables come before features, (C, k, B): halves and permutations are of whole rows then.
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
        first, second = z.mT.contiguous().chunk(2, dim=1)
        for number, coupling in enumerate(self.couplings):
            if number % 2:
                first, log_determinant = coupling(first, second)
                order = self.orders[number // 2]
                first, second = torch.cat([first, second], dim=1).index_select(1, order).chunk(2, dim=1)
            else:
                second, log_determinant = coupling(second, first)
            total = total + log_determinant
        return torch.cat([first, second], dim=1).mT, total

    def log_density(self, z: Tensor) -> Tensor:
        """Log densities of classes' whitened features: (C, B, k) -> (C, B)."""
        residual, log_determinant = self(z)
        densities: Tensor = log_determinant - 0.5 * (residual.square().sum(dim=2) + z.shape[2] * log(2 * pi))
        return densities


class Coupling(nn.Module):
    """Affine couplings of all classes: s and t are networks of three layers, whose last starts at zero.

    The two networks of all classes are one stack of products: their first layers share a matrix, because they read the
    same half; in their other layers, the matrices s and t of each class follow those of the class before.
    """

    def __init__(self, classes: int, size: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        half = size // 2
        s, t = (layers(classes, size, hidden, generator) for _ in range(2))
        first, second, last, *biases = (torch.stack(both, dim=1) for both in zip(s, t, strict=True))  # (C, 2, out, in)
        stacks = (first.view(classes, 2 * hidden, half), second.flatten(0, 1), last.flatten(0, 1))
        shapes = ((classes, 2 * hidden, 1), (2 * classes, hidden, 1), (2 * classes, half, 1))
        self.weights = nn.ParameterList(stacks)
        self.biases = nn.ParameterList(bias.view(shape) for bias, shape in zip(biases, shapes, strict=True))
        self.scale = nn.Parameter(torch.ones(classes, half, 1))

    def forward(self, moved: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """The half that moves, and the log-determinant: (C, k / 2, B) twice -> (C, k / 2, B), (C, B)."""
        result: tuple[Tensor, Tensor] = Move.apply(moved, given, self.scale, *self.weights, *self.biases)
        return result


def layers(classes: int, size: int, hidden: int, generator: torch.Generator) -> list[Tensor]:
    """Weights (C, out, in) of a network's three layers, then biases (C, out, 1); the last layer's are zero."""
    shapes = [(size // 2, hidden), (hidden, hidden), (hidden, size // 2)]
    bounds = [size**-0.5, hidden**-0.5, 0.0]  # torch's own for linear layers of all variables
    weights = [uniform((classes, *s), b, generator).mT for s, b in zip(shapes, bounds, strict=True)]
    return weights + [uniform((classes, s[1], 1), b, generator) for s, b in zip(shapes, bounds, strict=True)]


def uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    """Weights drawn from U(-bound, bound)."""
    return (2 * torch.rand(shape, generator=generator) - 1) * bound


class Move(torch.autograd.Function):
    """A coupling's forward and backward pass with as few passes over the activations as there can be."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, moved: Tensor, given: Tensor, scale: Tensor, *layers: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(z - t) exp(-s) and minus the sum of s, with s = scale tanh: (C, k / 2, B) -> (C, k / 2, B), (C, B)."""
        weights, biases = layers[:3], layers[3:]
        classes, half, count = given.shape
        first = F.leaky_relu_(torch.baddbmm(biases[0], weights[0], given), SLOPE).view(2 * classes, -1, count)
        second = F.leaky_relu_(torch.baddbmm(biases[1], weights[1], first), SLOPE)
        last, t = torch.baddbmm(biases[2], weights[2], second).view(classes, 2, half, count).unbind(1)
        tanh = last.tanh()
        s = scale * tanh
        log_determinant = s.sum(dim=1).neg_()
        factor = s.neg_().exp_()
        result = (moved - t).mul_(factor)
        ctx.save_for_backward(given, scale, *weights, first, second, tanh, factor, result)
        return result, log_determinant

    @staticmethod
    @once_differentiable
    def backward(ctx: BackwardCFunction, by_result: Tensor, by_log_determinant: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients by the halves and, where they are trained, by the scale, the weights and the biases."""
        saved: tuple[Tensor, ...] = ctx.saved_tensors
        needed: tuple[bool, ...] = ctx.needs_input_grad
        given, scale, *weights, first, second, tanh, factor, result = saved
        classes, half, count = given.shape
        by_moved = by_result * factor
        by_s = torch.addcmul(by_log_determinant[:, None], by_result, result).neg_()
        last = torch.stack([tanh_backward(by_s * scale, tanh), -by_moved], dim=1).view(2 * classes, half, count)
        middle = through_rectifier(torch.bmm(weights[2].mT, last), second)
        start = through_rectifier(torch.bmm(weights[1].mT, middle), first).view(classes, -1, count)
        by_given = torch.bmm(weights[0].mT, start) if needed[1] else None
        if not needed[2]:
            return by_moved, by_given, *[None] * 7
        inputs = zip((start, middle, last), (given, first, second), strict=True)
        by_weights = [torch.bmm(gradient, into.mT) for gradient, into in inputs]
        by_biases = [gradient.sum(dim=2, keepdim=True) for gradient in (start, middle, last)]
        return by_moved, by_given, (by_s * tanh).sum(dim=2, keepdim=True), *by_weights, *by_biases


def through_rectifier(gradient: Tensor, rectified: Tensor) -> Tensor:
    """The gradient by what a rectifier was given, from what it gave, in the same memory."""
    result: Tensor = leaky_relu_backward(gradient, rectified, SLOPE, True, grad_input=gradient)
    return result
