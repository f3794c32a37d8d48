"""What trainings minimise: cross-entropy on ID images, and a penalty of confidence on OOD ones (Eqs. 19 and 20)."""

from collections.abc import Callable
from math import log

import torch.nn.functional as F
from torch import Tensor

from fig.energy import entropy, log_probabilities


def cross_entropy(logits: Tensor, labels: Tensor, total: int | None = None) -> Tensor:
    """Mean cross-entropy in nats: (B, C) logits, (B,) labels in [0, C) -> scalar.

    `total` is the number of images to average over where these are one worker's part of a larger batch.
    """
    return F.cross_entropy(logits, labels, reduction="sum") / (total or len(logits))


def negative_entropy(logits: Tensor, total: int | None = None) -> Tensor:
    """Mean of the sum over classes of q log q, in [-log C, 0]: (B, C) logits of OOD images -> scalar."""
    return -entropy(logits).sum() / (total or len(logits))


def divergence_from_uniform(logits: Tensor, total: int | None = None) -> Tensor:
    """Mean divergence KL(uniform || q), at least 0, of the class probabilities q: (B, C) logits -> scalar."""
    divergences = -log_probabilities(logits).mean(dim=1) - log(logits.shape[1])  # (B,)
    return divergences.sum() / (total or len(logits))


PENALTIES: dict[str, Callable[[Tensor, int | None], Tensor]] = {
    "entropy": negative_entropy,
    "divergence": divergence_from_uniform,
}


def fig_objective(
    logits: Tensor,
    labels: Tensor,
    ood_logits: Tensor,
    total: int | None = None,
    ood_total: int | None = None,
    penalty: str = "entropy",
    weight: float = 1.0,
) -> Tensor:
    """The negative of Eq. 20, to be minimised; without OOD images the second term is absent.

    In Eq. 20 both terms have weight 1; `weight` is that of the second. `penalty` names what is minimised on OOD images.
    Both penalties are least for uniform probabilities. The gradient of the entropy vanishes where the network is
    surest, that of the divergence does not (Hendrycks et al., ICLR 2019).
    """
    loss = cross_entropy(logits, labels, total)
    return loss + weight * PENALTIES[penalty](ood_logits, ood_total) if len(ood_logits) else loss
