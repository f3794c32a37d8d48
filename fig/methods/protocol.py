"""What the training loop asks of a method."""

from typing import Protocol

import torch
from torch import Tensor, nn

from fig.methods.batch import Batch


class Method(Protocol):
    """A method turns a batch of ID images into a loss."""

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """This worker's part of the loss, to be summed over workers, and a history row of scalars.

        `network` maps images (B, channels, height, width) to logits (B, C) and is in training mode; `generator` is
        the same on every worker, and new for every iteration.
        """
