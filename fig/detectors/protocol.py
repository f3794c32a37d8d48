"""The interface of detectors: what they get of a discriminator and its images, and what they must provide."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, Self, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fig.memory import halve_until_it_fits
from fig.networks.taps import Tap, stages


@dataclass(frozen=True)
class Subject:
    """The discriminator that is judged, its network frozen."""

    network: nn.Module  # scaled images (B, channels, h, w) -> logits (B, classes)
    classes: int
    unit: Tensor  # (channels, 1, 1): how far one unit of the pixel range [0, 1] is in the network's input space
    example: Tensor  # (1, channels, h, w): an image that the network takes
    named: tuple[str, ...] = ()  # the stages, where they are known

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """Submodules whose outputs are the features; raises ValueError for a network that has none."""
        return self.named or stages(self.network, self.example)


@dataclass(frozen=True)
class Seen:
    """A batch of images, and what the network's one forward pass gave for them, without gradients."""

    rows: Tensor  # (B,): which images of their data set
    inputs: Tensor  # (B, channels, h, w), scaled
    logits: Tensor  # (B, classes)
    kept: Mapping[str, Tensor]  # what the detectors' taps kept, (B, ...)

    def part(self, places: Tensor) -> Self:
        """Neighbouring images of the batch, by their places in it (b,), in the same memory."""
        here = slice(int(places[0]), int(places[-1]) + 1)
        kept = {name: values[here] for name, values in self.kept.items()}
        return replace(self, rows=self.rows[here], inputs=self.inputs[here], logits=self.logits[here], kept=kept)


HeldOut = Callable[[], Iterable[Seen]]  # ID images held out from training images: none of them was seen in fitting


class Scorer(Protocol):
    """A fitted detector."""

    @property
    def settings(self) -> tuple[str, ...]:
        """What gives a column of scores each; one, the empty text, where nothing is to be chosen."""

    @property
    def chosen(self) -> int:
        """The setting that ID images alone would choose."""

    def scores(self, seen: Seen) -> Tensor:
        """Scores (B, settings) in float64, finite, higher = more in-distribution."""


@runtime_checkable
class SplitScorer(Scorer, Protocol):
    """A scorer whose columns are parts of one score, and which part of the ID test set weighs, in several draws."""

    def splits(self, id_grid: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """For each draw the rows of `id_grid` (N, settings) that are left to be scored, and the columns' weights."""


class Observer(Protocol):
    """What looks at training images for a detector, a batch after the other, in memory that does not grow."""

    def see(self, seen: Seen, labels: Tensor) -> None:
        """Take note of a batch with its labels (B,)."""

    def merge(self, other: Self) -> None:
        """Take over what another worker's observer has seen."""

    def scorer(self, subject: Subject, held_out: HeldOut) -> Scorer:
        """The detector, fitted to what was seen. Raises ValueError, in a sentence, where that cannot be."""


class Detector(Protocol):
    """A detector's settings, and what it wants to see; without an observer it is a `Ready` one."""

    def taps(self, subject: Subject) -> dict[str, Tap]:
        """What is to be kept of each forward pass; equal names of several detectors mean equal taps."""

    def observer(self, subject: Subject) -> Observer | None:
        """What looks at training images; None where the detector needs no look at them."""


@runtime_checkable
class Ready(Protocol):
    """A detector that needs no look at training images, and so makes its scorer itself."""

    def scorer(self, subject: Subject, held_out: HeldOut) -> Scorer:
        """The detector, for this discriminator."""


@dataclass
class Kept:
    """Values of training images, kept on their device for a detector that needs all of them at once."""

    rows: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    values: dict[str, list[Tensor]] = field(default_factory=dict)

    def see(self, seen: Seen, labels: Tensor, values: Mapping[str, Tensor]) -> None:
        """Keep the values (B, ...) of a batch."""
        self.rows.append(seen.rows)
        self.labels.append(labels)
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)

    def merge(self, other: Self) -> None:
        """Append what another worker kept."""
        self.rows += other.rows
        self.labels += other.labels
        for name, values in other.values.items():
            self.values.setdefault(name, []).extend(values)

    def in_order(self, device: torch.device) -> tuple[Tensor, dict[str, Tensor]]:
        """Labels (N,) and values (N, ...) in the order of the rows, so that it does not matter who saw them."""
        order = torch.cat(self.rows).argsort()
        values = {name: torch.cat(values)[order].to(device) for name, values in self.values.items()}
        return torch.cat(self.labels)[order].to(device), values


class Unfitted:
    """What detectors share that need no look at training images."""

    def taps(self, subject: Subject) -> dict[str, Tap]:
        """Nothing is kept but the logits."""
        return {}

    def observer(self, subject: Subject) -> None:
        """No look at training images is needed."""
        return


def score_batch(scorer: Scorer, seen: Seen) -> Tensor:
    """Scores (B, settings) of a batch, in halves where a detector's own passes do not fit into the device's memory."""
    places = torch.arange(len(seen.rows))
    return torch.cat(list(halve_until_it_fits(lambda part: scorer.scores(seen.part(part)), places)))


def chosen_by_id_images(scorer: Scorer, held_out: HeldOut, among: list[int]) -> int:
    """The setting among these whose mean score of held-out ID images is largest.

    This is how Hsu et al. (Generalized ODIN, CVPR 2020, Section 3.2) choose the magnitude of the input's
    perturbation without OOD data.
    """
    if len(among) == 1:
        return among[0]
    sums = torch.stack([score_batch(scorer, seen).sum(dim=0) for seen in held_out()]).sum(dim=0)
    return among[int(sums[among].argmax())]


def towards(gradient: Tensor, unit: Tensor) -> Tensor:
    """One unit of the pixel range in the direction of a gradient's signs; the sign of 0 is +1, as in ODIN's code."""
    return torch.where(gradient >= 0, unit, -unit)
