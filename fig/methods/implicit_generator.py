"""FIG: penalise confidence on the low-entropy samples of an implicit generator (Algorithm 2)."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fig.methods.batch import Batch
from fig.methods.penalty import penalised_loss, share_of
from fig.sampler import SamplerSettings, sample


@dataclass(frozen=True)
class ImplicitGenerator:
    """FIG's settings: the low-entropy share K in [0, 1] of a batch, and how its samples are drawn.

    The samples are drawn anew for every batch, from the discriminator as it is at that moment or, where a `teacher`
    network is given, from that fixed one (Section 4.6). They share one forward pass with the ID images, and so its
    batch statistics.
    """

    K: float = 0.1
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    teacher: nn.Module | None = None

    def __post_init__(self) -> None:
        share_of(self.K, 1)

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """This worker's part of the objective (Eq. 20, negated), and what the history keeps of the batch."""
        count = share_of(self.K, batch.total)
        rows = batch.share(count)
        if not len(rows):
            return penalised_loss(network, batch, batch.inputs[:0], count)
        shape = tuple(batch.inputs.shape[1:])
        samples = sample(self.teacher or network, count, shape, self.sampler, generator, rows)
        loss, row = penalised_loss(network, batch, samples.images, count)
        return loss, row | {
            "generated_confidence": samples.confidence.mean(),
            "generated_energy": samples.energy.mean(),
            "steps": samples.steps.float().mean(),
        }
