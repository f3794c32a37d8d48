"""GS: Algorithm 2 with Gaussian noise in place of the sampler's images."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fig.energy import confidence, energy
from fig.frozen import frozen
from fig.methods.batch import Batch
from fig.methods.penalty import penalised_loss, share_of


@dataclass(frozen=True)
class Gaussian:
    """Noise N(0, 1) for every pixel in the network's input space, clipped to [-1, 1]; K as in FIG."""

    K: float = 0.1

    def __post_init__(self) -> None:
        share_of(self.K, 1)

    def loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """This worker's part of the objective (Eq. 20, negated), and what the history keeps of the batch."""
        count = share_of(self.K, batch.total)
        noise = torch.randn((count, *batch.inputs.shape[1:]), generator=generator, device=generator.device)
        images = noise[batch.share(count)].clamp(-1, 1).to(batch.inputs)
        loss, row = penalised_loss(network, batch, images, count)
        if not len(images):
            return loss, row
        with torch.no_grad(), frozen(network):
            logits = network(images)
        return loss, row | {
            "generated_confidence": confidence(logits).mean(),
            "generated_energy": energy(logits).mean(),
        }
