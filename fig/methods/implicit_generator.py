"""FIG: penalise confidence on the low-entropy samples of an implicit generator (Algorithm 2)."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from fig.methods.batch import Batch
from fig.methods.penalty import compute_loss, share_of
from fig.methods.protocol import NETWORK, Loss, Method, Players
from fig.methods.table import FigSettings
from fig.sampler import sample
from fig.settings import settings
from fig.starts import draw_starts

DRAWN = ("generated_confidence", "generated_energy", "steps")  # of samples, in the history


@settings
class ImplicitGenerator(FigSettings, Method):
    """FIG: low-entropy samples are a share K of each batch.

    Every batch gets new samples, from the discriminator as it is at that moment or, where a `teacher`
    network is given, from that fixed one (Section 4.6). They share one forward pass with the ID images, and so its
    batch statistics, unless `statistics` is "running".
    """

    teacher: nn.Module | None = None
    """The network that the sampler follows; the one in training unless given."""

    def losses(self, players: Players, batch: Batch, generator: torch.Generator) -> Iterator[Loss]:
        """The objective of Eq. 20, negated, on low-entropy samples."""
        yield self.loss_on_samples(players[NETWORK], self.teacher or players[NETWORK], batch, generator)

    def loss_on_samples(
        self, network: nn.Module, followed: nn.Module, batch: Batch, generator: torch.Generator
    ) -> Loss:
        """The loss of `network` on samples drawn from the implicit generator of the network that is `followed`."""
        count = share_of(self.K, batch.total)
        rows = batch.share(count)
        images, drawn = batch.whole[:0], dict.fromkeys(DRAWN if count else (), batch.whole.new_zeros(0))
        if len(rows):  # of few samples another worker may have all
            channels, height, width = batch.whole.shape[1:]
            begin = None if set(self.starts) == {"uniform"} else draw_starts(self.starts, batch.whole, count, generator)
            samples = sample(followed, count, (channels, height, width), self.sampler, generator, rows, begin=begin)
            images = samples.images
            drawn = dict(zip(DRAWN, (samples.confidence, samples.energy, samples.steps), strict=True))
        loss = compute_loss(network, batch, images, count, self)
        return replace(loss, row={**loss.row, **drawn})
