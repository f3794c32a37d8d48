"""FIG from random initialisation (Section 4.6, A3)."""

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import nn

from fig.methods.batch import Batch
from fig.methods.implicit_generator import ImplicitGenerator
from fig.methods.protocol import NETWORK, Loss, Player, Players
from fig.settings import settings

SNAPSHOT = "snapshot"


@settings
class Scratch(ImplicitGenerator):
    """FIG's objective; the implicit generator is that of the network as it was when the epoch began."""

    def companions(self, network: nn.Module, shape: tuple[int, ...], generator: torch.Generator) -> dict[str, Player]:
        """The network as it was when the epoch began."""
        return {SNAPSHOT: Player(deepcopy(network))}

    def losses(self, players: Players, batch: Batch, generator: torch.Generator) -> Iterator[Loss]:
        """The objective of Eq. 20, negated, on samples of the snapshot, which is taken again before each epoch."""
        network, snapshot = players[NETWORK], players[SNAPSHOT]
        if batch.begins_epoch:
            snapshot.load_state_dict(network.state_dict())
        yield self.loss_on_samples(network, snapshot, batch, generator)
