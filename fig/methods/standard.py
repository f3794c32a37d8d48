"""Standard training: the cross-entropy of ID images."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fig.energy import confidence, energy
from fig.methods.batch import Batch
from fig.objectives import cross_entropy


@dataclass(frozen=True)
class Standard:
    """Standard training has no settings of its own."""

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """This worker's part of the mean cross-entropy, and what the history keeps of the batch."""
        logits = network(batch.inputs)  # (b, C)
        loss = cross_entropy(logits, batch.labels, batch.total)
        return loss, seen("id", logits.detach()) | {"accuracy": accuracy(logits, batch.labels)}


def seen(prefix: str, logits: Tensor) -> dict[str, Tensor]:
    """Mean confidence and energy of a batch's logits (B, C), as named in the history."""
    return {f"{prefix}_confidence": confidence(logits).mean(), f"{prefix}_energy": energy(logits).mean()}


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of the logits (B, C) whose largest entry is the label's (B,)."""
    return (logits.argmax(dim=1) == labels).float().mean()
