"""ASCOOD: images whose most telling pixels change places are outliers (Regmi, CVPR 2026)."""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from fig.frozen import frozen
from fig.methods.batch import Batch
from fig.methods.penalty import logits_of_both
from fig.methods.protocol import NETWORK, Loss, Method, Players
from fig.methods.standard import measure_logits, seen_of
from fig.methods.table import AscoodSettings
from fig.networks.heads import NORMALISED
from fig.objectives import cross_entropy, divergence_from_uniform
from fig.settings import settings


@settings
class Ascood(AscoodSettings, Method):
    """An outlier for each ID image: the pixels that raise its class's logit the most change places among each other.

    Outliers are trained towards the uniform distribution. They share a forward pass with the ID images.
    """

    head: ClassVar[str] = "ascood"

    def losses(self, players: Players, batch: Batch, generator: torch.Generator) -> Iterator[Loss]:
        """The mean cross-entropy, and the weighted divergence of outliers from the uniform distribution."""
        network, (height, width) = players[NETWORK], batch.whole.shape[2:]
        count = int(self.share * height * width)
        keys = torch.rand((batch.total, count), generator=generator, device=generator.device)
        order = batch.of_worker(keys).argsort(dim=1).to(batch.whole.device)
        outliers = shuffle(batch.inputs, saliency(network, batch.inputs, batch.labels), order)
        logits, outlier_logits = logits_of_both(network, batch, outliers)
        unsure = divergence_from_uniform(outlier_logits, batch.total)
        loss = cross_entropy(logits, batch.labels, batch.total) + self.weight * unsure
        yield Loss(loss, seen_of(logits, batch.labels) | measure_logits("generated", outlier_logits))


def saliency(network: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Sums over channels of exp(g) - 1, g the gradient by a pixel of the logit of an image's class: (b, height, width).

    The network is in eval mode, but for a head that normalises: the authors' does so there too.
    """
    with frozen(network), torch.enable_grad():
        for module in network.modules():
            if isinstance(module, tuple(NORMALISED.values())):
                module.train()
        moving = inputs.detach().requires_grad_()
        own = network(moving).gather(1, labels[:, None]).sum()
        (gradient,) = torch.autograd.grad(own, moving)
    return gradient.expm1().sum(dim=1)


def shuffle(images: Tensor, importance: Tensor, order: Tensor) -> Tensor:
    """Images (b, channels, h, w) whose most important pixels, n by (b, h, w), have changed places by `order` (b, n)."""
    count, channels = order.shape[1], images.shape[1]
    places = importance.flatten(1).topk(count, dim=1).indices  # (b, n)
    sources = places.gather(1, order)
    to, of = (each[:, None].expand(-1, channels, -1) for each in (places, sources))
    flat = images.flatten(2)
    return flat.scatter(2, to, flat.gather(2, of)).view(images.shape)
