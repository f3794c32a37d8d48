"""What the training loop asks of a method."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from fig.methods.batch import Batch

NETWORK = "network"  # the player that every method has: the network in training


@dataclass(frozen=True)
class Player:
    """A network that takes part in a training; without an optimiser no loss moves it."""

    module: nn.Module
    optimizer: torch.optim.Optimizer | None = None


@dataclass(frozen=True)
class Loss:
    """What one player is to lessen on a batch."""

    value: Tensor  # scalar: this worker's part of it, to be summed over workers
    row: Mapping[str, Tensor] = field(default_factory=dict)  # for the history: values of this worker's images, (n,)
    player: str = NETWORK


Players = Mapping[str, nn.Module]


class Method(Protocol):
    """A method turns a batch of ID images into losses."""

    head: ClassVar[str] = "linear"  # of the networks that it trains: see fig.networks.heads

    def companions(self, network: nn.Module, shape: tuple[int, ...], generator: torch.Generator) -> dict[str, Player]:
        """The players next to the network, for images of this shape (channels, height, width), by name.

        Their weights are drawn from `generator`; weights and optimisers are saved in the checkpoints of a training.
        """
        return {}

    def losses(self, players: Players, batch: Batch, generator: torch.Generator) -> Iterator[Loss]:
        """The losses of a batch, one after the other: the loop moves a loss's player before it asks for the next.

        `players["network"]` maps images (B, channels, height, width) to logits (B, C) and is in training mode;
        `generator` is the same on every worker, and new for every iteration.
        """
        ...
