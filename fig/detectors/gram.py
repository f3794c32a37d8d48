"""Gram matrices (GM): how far feature correlations leave the range seen in training (Sastry and Oore, 2020)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fig.detectors.protocol import HeldOut, Scorer, Seen, Subject
from fig.detectors.table import GramSettings
from fig.networks.taps import Tap
from fig.seeding import generator
from fig.settings import settings

SMALL = 1e-6  # of the authors' code: keeps relative deviations finite
SMALLEST = 1e-7  # also theirs, added to mean deviations
CACHED = 2**18  # activations whose powers a CPU's cache holds
SPLITS, SHARE = 10, 0.1  # of the ID test set, in the authors' protocol


@settings
class Gram(GramSettings):
    """Gram matrices of several orders; features are those of every convolution and rectifier but the first.

    Deviations are `normalised_over` the held-out training images or, as in the paper's protocol, over ten draws of a
    tenth of the ID test set, whose other images are scored.
    """

    def taps(self, subject: Subject) -> dict[str, Tap]:
        """Row sums at every call of every convolution and rectifier that gives (B, C, h, w), after the first."""
        names = {module: name for name, module in subject.network.named_modules()}
        calls: list[tuple[str, int]] = []

        def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if output.ndim == 4:
                calls.append((names[module], sum(name == names[module] for name, _ in calls)))

        kinds = (nn.Conv2d, nn.ReLU)
        handles = [m.register_forward_hook(note) for m in subject.network.modules() if isinstance(m, kinds)]
        with torch.no_grad():
            subject.network(subject.example)
        for handle in handles:
            handle.remove()
        keep = partial(row_sums, orders=self.orders)
        found = {f"gram.{name}.{call}": Tap(name, keep, call) for name, call in calls[1:]}
        if not found:
            raise ValueError("it has no convolution beyond the first, so that there are no feature maps to compare")
        return found

    def observer(self, subject: Subject) -> "GramObserver":
        """Smallest and largest statistics by predicted class."""
        return GramObserver(subject.classes, self.normalised_over)


def row_sums(features: Tensor, orders: tuple[int, ...]) -> Tensor:
    """Row sums of the Gram matrices of powers of the features, rooted: (B, C, h, w) -> (B, orders, C).

    With G_p = F^p (F^p)^T over places, this is sign(v) |v|^(1/p) for v = G_p 1, found as F^p times the sum of its
    rows, so that no C x C matrix is formed. Powers are taken of features that are scaled to at most 1 and the scale's
    square is put back (the root is homogeneous), so that order 10 does not overflow. A CPU takes as many images at a
    time as its cache holds, for the orders are passes over the same powers.
    """
    flat = features.flatten(2)  # (B, C, hw)
    images = max(1, CACHED // flat[0].numel()) if flat.device.type == "cpu" else len(flat)
    return torch.cat([rooted_sums(part, orders) for part in flat.split(images)])


def rooted_sums(flat: Tensor, orders: tuple[int, ...]) -> Tensor:
    """The same of features (b, C, hw), in two arrays of their size: -> (b, orders, C)."""
    scale = flat.abs().amax(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(flat.dtype).tiny)  # (b, 1, 1)
    base = flat / scale
    power, products, rooted = torch.ones_like(base), torch.empty_like(base), []
    for order in range(1, orders[-1] + 1):
        power *= base
        if order in orders:
            sums = torch.mul(power, power.sum(dim=1, keepdim=True), out=products).sum(dim=2)  # (b, C)
            rooted.append(sums.sign() * sums.abs() ** (1 / order))
    return torch.stack(rooted, dim=1) * scale.square()


@dataclass
class GramObserver:
    """Smallest and largest statistics of training images, by the class that they are predicted as."""

    classes: int
    normalised_over: str
    lowest: dict[str, Tensor] = field(default_factory=dict)  # by tap: (classes, orders, C)
    highest: dict[str, Tensor] = field(default_factory=dict)

    def see(self, seen: Seen, labels: Tensor) -> None:
        """Widen the ranges by a batch."""
        predicted = seen.logits.argmax(dim=1)
        for name, values in gram_values(seen).items():
            if name not in self.lowest:
                self.lowest[name] = values.new_full((self.classes, *values.shape[1:]), torch.inf)
                self.highest[name] = -self.lowest[name]
            rows = predicted[:, None, None].expand_as(values)
            self.lowest[name].scatter_reduce_(0, rows, values, "amin")
            self.highest[name].scatter_reduce_(0, rows, values, "amax")

    def merge(self, other: "GramObserver") -> None:
        """Widen the ranges by another worker's."""
        for name in other.lowest:
            if name in self.lowest:
                self.lowest[name] = self.lowest[name].minimum(other.lowest[name])
                self.highest[name] = self.highest[name].maximum(other.highest[name])
            else:
                self.lowest[name], self.highest[name] = other.lowest[name], other.highest[name]

    def scorer(self, subject: Subject, held_out: HeldOut) -> Scorer:
        """Deviations from the ranges, each tap's in units of its mean over ID images.

        A class that no training image was predicted as has the range of all classes together.
        """
        device = subject.unit.device
        ranges = Ranges(
            {name: widen_unseen(lowest, lowest.amin(dim=0)).to(device) for name, lowest in self.lowest.items()},
            {name: widen_unseen(highest, highest.amax(dim=0)).to(device) for name, highest in self.highest.items()},
        )
        if self.normalised_over == "test":
            return SplitGramScorer(ranges)
        sums, count = torch.zeros(()), 0
        for seen in held_out():
            deviations = ranges.deviations(seen)
            sums, count = sums.to(deviations) + deviations.sum(dim=0), count + len(deviations)
        return GramScorer(ranges, sums / count + SMALLEST)


def widen_unseen(ends: Tensor, widest: Tensor) -> Tensor:
    """Ends of ranges (classes, orders, C), the widest (orders, C) for a class of which nothing was seen."""
    unseen = ends.isinf().flatten(1).all(dim=1)
    return torch.where(unseen[:, None, None], widest, ends)


def gram_values(seen: Seen) -> dict[str, Tensor]:
    """What this detector's taps kept: (B, orders, C) each."""
    return {name: values for name, values in seen.kept.items() if name.startswith("gram.")}


@dataclass(frozen=True)
class Ranges:
    """The ranges of the statistics seen in training, by tap: (classes, orders, C) each."""

    lowest: Mapping[str, Tensor]
    highest: Mapping[str, Tensor]

    def deviations(self, seen: Seen) -> Tensor:
        """Relative deviation at each tap over the confidence: (B, taps)."""
        predicted = seen.logits.argmax(dim=1)
        confidence = seen.logits.double().softmax(dim=1).amax(dim=1)
        columns = []
        for name, values in gram_values(seen).items():
            lowest, highest = self.lowest[name][predicted], self.highest[name][predicted]
            below = (lowest - values).relu() / (lowest + SMALL).abs()
            above = (values - highest).relu() / (highest + SMALL).abs()
            columns.append((below + above).double().sum(dim=(1, 2)) / confidence)
        return torch.stack(columns, dim=1)


@dataclass(frozen=True)
class GramScorer:
    """Minus the total deviation from the ranges seen in training."""

    ranges: Ranges
    usual: Tensor  # (taps,) mean deviation of held-out ID images
    settings: ClassVar[tuple[str, ...]] = ("",)
    chosen: ClassVar[int] = 0

    def scores(self, seen: Seen) -> Tensor:
        """Scores (B, 1)."""
        return -(self.ranges.deviations(seen) / self.usual).sum(dim=1, keepdim=True)


@dataclass(frozen=True)
class SplitGramScorer:
    """Minus each tap's deviation, which images of the ID test set normalise: the authors' protocol."""

    ranges: Ranges
    chosen: ClassVar[int] = 0

    @property
    def settings(self) -> tuple[str, ...]:
        """The tap of each column."""
        return tuple(self.ranges.lowest)

    def scores(self, seen: Seen) -> Tensor:
        """Minus deviations (B, taps)."""
        return -self.ranges.deviations(seen)

    def splits(self, id_grid: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """For each draw the rows (n,) of the ID test set that are scored, and the weight (taps,) of each column."""
        for number in range(SPLITS):
            order = torch.randperm(len(id_grid), generator=generator(number, "gram")).numpy()
            normalising, scored = np.split(order, [max(1, round(SHARE * len(order)))])
            yield scored, 1 / (SMALLEST - id_grid[normalising].mean(axis=0))
