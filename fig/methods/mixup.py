"""MIXUP: training on mixtures of pairs of images and of their labels (Zhang et al., 2018)."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from fig.methods.batch import Batch
from fig.methods.protocol import NETWORK, Loss, Method, Players
from fig.methods.standard import seen_of
from fig.methods.table import MixupSettings
from fig.objectives import cross_entropy
from fig.settings import settings


@settings
class Mixup(MixupSettings, Method):
    """Shares of mixtures, one for each batch, are drawn from Beta(alpha, alpha)."""

    def losses(self, players: Players, batch: Batch, generator: torch.Generator) -> Iterator[Loss]:
        """The mean cross-entropy of mixtures."""
        order = torch.randperm(batch.total, generator=generator, device=generator.device).to(batch.whole.device)
        word = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        share = float(np.random.default_rng(word).beta(self.alpha, self.alpha))  # torch's takes no generator
        yield loss_of_mixtures(players[NETWORK], batch, order, share)


def loss_of_mixtures(network: nn.Module, batch: Batch, order: Tensor, share: float) -> Loss:
    """The loss on mixtures of this share, in [0, 1], of each image and the rest of its partner: `order` (B,)."""
    partners = batch.of_worker(order)
    mixed = share * batch.inputs + (1 - share) * batch.whole[partners]
    logits = network(mixed)  # (b, C)
    own, other = (cross_entropy(logits, labels, batch.total) for labels in (batch.labels, batch.whole_labels[partners]))
    return Loss(share * own + (1 - share) * other, seen_of(logits, batch.labels))
