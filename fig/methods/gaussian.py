"""GS: Algorithm 2 with Gaussian noise in place of the sampler's images."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from fig.frozen import frozen
from fig.methods.batch import Batch
from fig.methods.penalty import compute_loss, share_of
from fig.methods.protocol import NETWORK, Loss, Method, Players
from fig.methods.standard import measure_logits
from fig.methods.table import PenaltySettings
from fig.settings import settings


@settings
class Gaussian(PenaltySettings, Method):
    """Noise N(0, 1) for every pixel in the network's input space, clipped to [-1, 1]; K as in FIG."""

    def losses(self, players: Players, batch: Batch, generator: torch.Generator) -> Iterator[Loss]:
        """The objective of Eq. 20, negated, on noise."""
        network, count = players[NETWORK], share_of(self.K, batch.total)
        noise = torch.randn((count, *batch.whole.shape[1:]), generator=generator, device=generator.device)
        images = noise[batch.share(count)].clamp(-1, 1).to(batch.whole)
        loss = compute_loss(network, batch, images, count, self)
        if count:
            with torch.no_grad(), frozen(network):
                logits = network(images) if len(images) else images.new_zeros(0, 1)  # another worker may have some
            loss = replace(loss, row={**loss.row, **measure_logits("generated", logits)})
        yield loss
