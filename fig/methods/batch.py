"""A mini-batch of ID images, and one worker's part of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def sum_of_one(tensors: Sequence[Tensor]) -> None:
    """Sum tensors over a single worker: leave them as they are."""


@dataclass(frozen=True)
class Batch:
    """A mini-batch of ID images as the network takes them, the same on every worker.

    A pixel p in [0, 1] enters the network as `black` + p `unit`.
    """

    whole: Tensor  # (B, channels, height, width), scaled
    whole_labels: Tensor  # (B,) in [0, classes)
    black: Tensor  # (channels, 1, 1)
    unit: Tensor  # (channels, 1, 1)
    begins_epoch: bool = False  # whether it is the first of an epoch
    rank: int = 0
    workers: int = 1
    sum_over_workers: Callable[[Sequence[Tensor]], None] = sum_of_one  # in place

    @property
    def inputs(self) -> Tensor:
        """This worker's images: (b, channels, height, width)."""
        return self.of_worker(self.whole)

    @property
    def labels(self) -> Tensor:
        """This worker's labels: (b,)."""
        return self.of_worker(self.whole_labels)

    @property
    def total(self) -> int:
        """Images in the mini-batch over all workers."""
        return len(self.whole)

    def of_worker(self, rows: Tensor) -> Tensor:
        """This worker's of what there is one of for each image of the mini-batch: (B, ...) -> (b, ...)."""
        return rows[self.rank :: self.workers]

    def of_all_workers(self, mine: Tensor) -> Tensor:
        """The rows of all workers, in float32 and without gradients, from this worker's: (b, D) -> (B, D)."""
        whole = torch.zeros(self.total, mine.shape[1], device=mine.device)
        self.of_worker(whole).copy_(mine.detach())
        self.sum_over_workers([whole])
        return whole

    def share(self, count: int) -> Tensor:
        """Which of `count` rows over all workers are this worker's: (about count / workers,)."""
        return torch.arange(count)[self.rank :: self.workers]
