"""One worker's part of a mini-batch of ID images."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """ID images as the network takes them, and what this worker's part is of the mini-batch over all workers."""

    inputs: Tensor  # (b, channels, height, width), scaled
    labels: Tensor  # (b,) in [0, classes)
    total: int  # images in the mini-batch over all workers
    rank: int = 0
    workers: int = 1

    def share(self, count: int) -> Tensor:
        """Which of `count` rows over all workers are this worker's: (about count / workers,)."""
        return torch.arange(self.rank, count, self.workers)
