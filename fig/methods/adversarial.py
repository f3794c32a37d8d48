"""AD: training on adversarial images too, found by the fast gradient sign (Goodfellow et al., 2015)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from fig.frozen import frozen
from fig.methods.batch import Batch
from fig.methods.penalty import logits_of_both
from fig.methods.protocol import NETWORK, Loss, Method, Players
from fig.methods.standard import seen_of
from fig.methods.table import AdversarialSettings
from fig.objectives import cross_entropy
from fig.settings import settings


@settings
class Adversarial(AdversarialSettings, Method):
    """Images and adversarial copies of them, with the same labels.

    The FIG paper says 0.1 and not of what. The unit is the pixel range unless it is `inputs`, the network's input
    space, as in the authors' code. Perturbed images are not clipped, as there. Images and their perturbed copies share
    a forward pass, as images of two kinds do in FIG and JCL: running statistics are those of both, as batch's are.
    """

    def losses(self, players: Players, batch: Batch, generator: torch.Generator) -> Iterator[Loss]:
        """The weighted sum of the cross-entropies of images and of their perturbed copies."""
        network, inputs, labels = players[NETWORK], batch.inputs, batch.labels
        unit = batch.unit if self.unit == "pixels" else 1.0
        perturbed = inputs + self.magnitude * unit * rising_signs(network, inputs, labels)
        logits, perturbed_logits = logits_of_both(network, batch, perturbed)  # (b, C) each
        clean, moved = (cross_entropy(each, labels, batch.total) for each in (logits, perturbed_logits))
        accuracy = (perturbed_logits.argmax(dim=1) == labels).float()
        row = seen_of(logits, labels) | {"perturbed_accuracy": accuracy}
        yield Loss((1 - self.weight) * clean + self.weight * moved, row)


def rising_signs(network: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Signs of the gradient of the cross-entropy by the inputs, in eval mode: as `inputs`."""
    with frozen(network), torch.enable_grad():
        moving = inputs.detach().requires_grad_()
        loss = cross_entropy(network(moving), labels, 1)  # a sum: no image's gradient depends on the others
        (gradient,) = torch.autograd.grad(loss, moving)
    return gradient.sign()
