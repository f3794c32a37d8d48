"""What the methods that penalise confidence on OOD images have in common (Eq. 20)."""

import torch
from torch import Tensor, nn

from fig.methods.batch import Batch
from fig.methods.standard import accuracy, seen
from fig.objectives import fig_objective


def share_of(K: float, total: int) -> int:
    """How many OOD images go with `total` ID images: their share K, at least one unless K is 0."""
    if not 0 <= K <= 1:
        raise ValueError(f"K is {K}: the low-entropy share must lie in [0, 1]")
    return max(1, round(K * total)) if K else 0


def penalised_loss(
    network: nn.Module, batch: Batch, ood_images: Tensor, ood_total: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """This worker's part of the objective, ID and OOD images sharing one forward pass of `network`.

    `ood_images` (n, channels, height, width) are this worker's of `ood_total` over all workers.
    """
    logits = network(torch.cat([batch.inputs, ood_images]))  # (b + n, C)
    id_logits, ood_logits = logits.split([len(batch.inputs), len(ood_images)])
    loss = fig_objective(id_logits, batch.labels, ood_logits, batch.total, ood_total)
    return loss, seen("id", id_logits.detach()) | {"accuracy": accuracy(id_logits, batch.labels)}
