"""Standard training: the cross-entropy of ID images."""

from collections.abc import Iterator

import torch
from torch import Tensor

from fig.energy import confidence, energy
from fig.methods.batch import Batch
from fig.methods.protocol import NETWORK, Loss, Method, Players
from fig.objectives import cross_entropy
from fig.settings import NoSettings, settings


@settings
class Standard(NoSettings, Method):
    """Standard training has no settings of its own."""

    def losses(self, players: Players, batch: Batch, generator: torch.Generator) -> Iterator[Loss]:
        """The mean cross-entropy."""
        logits = players[NETWORK](batch.inputs)  # (b, C)
        yield Loss(cross_entropy(logits, batch.labels, batch.total), seen_of(logits, batch.labels))


def measure_logits(prefix: str, logits: Tensor) -> dict[str, Tensor]:
    """Confidence and energy (b,) of a batch's logits (b, C), as named in the history."""
    logits = logits.detach()
    return {f"{prefix}_confidence": confidence(logits), f"{prefix}_energy": energy(logits)}


def seen_of(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """What the history keeps of ID images, from their logits (b, C) and labels (b,)."""
    return measure_logits("id", logits) | {"accuracy": (logits.argmax(dim=1) == labels).float()}
