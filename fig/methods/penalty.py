"""What the methods that penalise confidence on OOD images have in common (Eq. 20)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fig.frozen import frozen_statistics, unrecorded_statistics
from fig.methods.batch import Batch
from fig.methods.protocol import Loss
from fig.methods.standard import seen_of
from fig.methods.table import PenaltySettings, Statistics
from fig.objectives import fig_objective


def share_of(K: float, total: int) -> int:
    """How many OOD images go with `total` ID images: their share K, at least one unless K is 0."""
    if not 0 <= K <= 1:
        raise ValueError(f"K is {K}: the low-entropy share must lie in [0, 1]")
    return max(1, round(K * total)) if K else 0


def logits_of_both(network: nn.Module, batch: Batch, ood_images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of this worker's ID images (b, C) and of `ood_images` (n, C), which share a batch's statistics."""
    # joined, images of two layouts are in neither of them, and convolutions are slow
    both = torch.cat([batch.inputs, ood_images]).contiguous(memory_format=torch.channels_last)
    logits: Tensor = network(both)
    id_logits, ood_logits = logits.split([len(batch.inputs), len(ood_images)])
    return id_logits, ood_logits


def logits_recomputed(network: nn.Module, batch: Batch, ood_images: Tensor) -> tuple[Tensor, Tensor]:
    """The logits of both as `logits_of_both`, with running statistics that follow ID images alone, in a second pass."""
    with unrecorded_statistics(network):
        logits = logits_of_both(network, batch, ood_images)
    with torch.no_grad():
        network(batch.inputs.contiguous(memory_format=torch.channels_last))
    return logits


def logits_apart(network: nn.Module, batch: Batch, ood_images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of this worker's ID images (b, C), and of `ood_images` (n, C) by the running statistics of ID images."""
    id_logits: Tensor = network(batch.inputs.contiguous(memory_format=torch.channels_last))
    if not len(ood_images):
        return id_logits, id_logits[:0]
    with frozen_statistics(network):
        return id_logits, network(ood_images.contiguous(memory_format=torch.channels_last))


LOGITS: dict[Statistics, Callable[[nn.Module, Batch, Tensor], tuple[Tensor, Tensor]]] = {
    "shared": logits_of_both,
    "recomputed": logits_recomputed,
    "running": logits_apart,
}


def compute_loss(network: nn.Module, batch: Batch, ood_images: Tensor, ood_total: int, chosen: PenaltySettings) -> Loss:
    """The objective of Eq. 20, negated, with the penalty that is chosen and its weight.

    `ood_images` (n, channels, height, width) are this worker's of `ood_total` over all workers.
    """
    id_logits, ood_logits = LOGITS[chosen.statistics](network, batch, ood_images)
    loss = fig_objective(id_logits, batch.labels, ood_logits, batch.total, ood_total, chosen.penalty, chosen.weight)
    return Loss(loss, seen_of(id_logits, batch.labels))
