"""The one optimisation loop: every method, from scratch or from a trained discriminator, on one worker or several."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, isfinite

import torch
from torch import Tensor

from fig import parallel
from fig.data.arrays import Split
from fig.data.augment import Augmentation, augment
from fig.data.batches import images_at, labels_of
from fig.discriminator import Discriminator
from fig.methods.batch import Batch
from fig.methods.protocol import Method
from fig.seeding import generator

Row = dict[str, float]


class DivergedError(ArithmeticError):
    """The loss is no longer finite; the rows so far are in the history."""


@dataclass(frozen=True)
class TrainingSettings:
    """SGD on mini-batches, for a number of `epochs` or of `iterations`: one of the two.

    The learning rate is divided by ten at each of the `milestones`, which are shares of the length in (0, 1).
    """

    learning_rate: float
    epochs: int = 0
    iterations: int = 0
    batch_size: int = 128
    momentum: float = 0.9
    weight_decay: float = 5e-4
    milestones: tuple[float, ...] = ()
    log_every: int = 50  # iterations averaged into one row of the history

    def __post_init__(self) -> None:
        if (self.epochs > 0) == (self.iterations > 0):
            raise ValueError(f"epochs is {self.epochs} and iterations {self.iterations}: exactly one must be above 0")
        if min(self.batch_size, self.log_every) < 1 or self.learning_rate <= 0:
            raise ValueError("batch_size, log_every and learning_rate must be above 0")

    def length(self, images: int) -> int:
        """Iterations in all, for a training set of this many images."""
        return self.iterations or self.epochs * self.per_epoch(images)

    def per_epoch(self, images: int) -> int:
        """Iterations in an epoch; the last batch of an epoch may be smaller."""
        return ceil(images / self.batch_size)

    def learning_rate_at(self, progress: float) -> float:
        """Learning rate when this share, in [0, 1), of the training is done."""
        return self.learning_rate * 0.1 ** bisect_right(self.milestones, progress)


def optimizer_of(discriminator: Discriminator, settings: TrainingSettings) -> torch.optim.SGD:
    """SGD over all weights, as in the paper's setup."""
    return torch.optim.SGD(
        discriminator.parameters(), settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay
    )


def batch_rows(images: int, iteration: int, settings: TrainingSettings, seed: int) -> Tensor:
    """Which images the mini-batch of an iteration holds, over all workers: (b,) from the epoch's permutation."""
    epoch, place = divmod(iteration, settings.per_epoch(images))
    order = torch.randperm(images, generator=generator(seed, "order", epoch))
    return order[place * settings.batch_size :][: settings.batch_size]


def batch_at(
    discriminator: Discriminator,
    data: Split,
    labels: Tensor,
    augmentation: Augmentation,
    iteration: int,
    settings: TrainingSettings,
    seed: int,
) -> Batch:
    """This worker's part of the mini-batch of an iteration, augmented and scaled."""
    rows = batch_rows(len(data.images), iteration, settings, seed)
    device = parallel.device()
    images = augment(images_at(data, rows).to(device), augmentation, generator(seed, "augment", iteration))
    mine = torch.arange(parallel.rank(), len(rows), parallel.workers())
    inputs = discriminator.scaled(images[mine.to(device)]).contiguous(memory_format=torch.channels_last)
    return Batch(inputs, labels[rows[mine]].to(device), len(rows), parallel.rank(), parallel.workers())


def update(discriminator: Discriminator, method: Method, batch: Batch, optimizer: torch.optim.SGD, noise) -> Row:
    """One step of the optimiser on a batch: the history's row of it, over all workers."""
    discriminator.train()
    loss, row = method.loss(discriminator.network, batch, noise)
    optimizer.zero_grad()
    loss.backward()
    parallel.sum_over_workers(p.grad for p in discriminator.parameters() if p.grad is not None)
    values = torch.stack([loss.detach() * batch.workers, *row.values()]).double()
    parallel.sum_over_workers([values])
    optimizer.step()
    return dict(zip(["loss", *row], (values / batch.workers).tolist(), strict=True))


def train(
    discriminator: Discriminator,
    optimizer: torch.optim.SGD,
    data: Split,
    method: Method,
    settings: TrainingSettings,
    augmentation: Augmentation,
    seed: int,
    start: int = 0,
) -> Iterator[tuple[int, Row]]:
    """Train in place from iteration `start` on; yields (iterations done, row) after each iteration.

    Every batch, crop and chain depends on `seed` and the iteration alone, so training that stops and starts again
    from a checkpoint gives the same weights. Raises DivergedError where the loss is not finite.
    """
    labels = labels_of(data)
    length = settings.length(len(data.images))
    for iteration in range(start, length):
        learning_rate = settings.learning_rate_at(iteration / length)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        batch = batch_at(discriminator, data, labels, augmentation, iteration, settings, seed)
        row = update(discriminator, method, batch, optimizer, generator(seed, "chains", iteration, parallel.device()))
        if not isfinite(row["loss"]):
            raise DivergedError(f"the loss is {row['loss']} at iteration {iteration + 1} of {length}")
        yield iteration + 1, {"learning_rate": learning_rate} | row
