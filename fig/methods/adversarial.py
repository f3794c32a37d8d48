"""AD: training on adversarial images too, found by the fast gradient sign (Goodfellow et al., 2015)."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fig.frozen import frozen
from fig.methods.batch import Batch
from fig.methods.penalty import logits_of_both
from fig.methods.protocol import NETWORK, Loss, Method, Players
from fig.methods.standard import seen_of
from fig.objectives import cross_entropy

UNITS = ("pixels", "inputs")  # of the range [0, 1], or as the network takes them


@dataclass(frozen=True)
class Adversarial(Method):
    """The magnitude of the perturbation, its unit, and the weight of the adversarial images; labels are kept.

    The FIG paper says 0.1 and not of what. The unit is the pixel range unless it is `inputs`, the network's input
    space, as in the authors' code. Perturbed images are not clipped, as there. Images and their perturbed copies share
    a forward pass, as images of two kinds do in FIG and JCL: running statistics are those of both, as batch's are.
    """

    magnitude: float = 0.1
    unit: str = "pixels"
    weight: float = 0.5

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"adversarial.unit is {self.unit!r}: it must be one of {', '.join(UNITS)}")
        if self.magnitude < 0 or not 0 <= self.weight <= 1:
            raise ValueError("adversarial.magnitude must be at least 0 and adversarial.weight in [0, 1]")

    def losses(self, players: Players, batch: Batch, generator: torch.Generator) -> Iterator[Loss]:
        """The weighted sum of the cross-entropies of images and of their perturbed copies."""
        network, inputs, labels = players[NETWORK], batch.inputs, batch.labels
        unit = batch.unit if self.unit == "pixels" else 1.0
        perturbed = inputs + self.magnitude * unit * rising_signs(network, inputs, labels)
        logits, perturbed_logits = logits_of_both(network, batch, perturbed)  # (b, C) each
        clean, moved = (cross_entropy(each, labels, batch.total) for each in (logits, perturbed_logits))
        accuracy = (perturbed_logits.argmax(dim=1) == labels).float().mean()
        row = seen_of(logits, labels) | {"perturbed_accuracy": accuracy}
        yield Loss((1 - self.weight) * clean + self.weight * moved, row)


def rising_signs(network: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """Signs of the gradient of the cross-entropy by the inputs, in eval mode: as `inputs`."""
    with frozen(network), torch.enable_grad():
        moving = inputs.detach().requires_grad_()
        loss = cross_entropy(network(moving), labels, 1)  # a sum: no image's gradient depends on the others
        (gradient,) = torch.autograd.grad(loss, moving)
    return gradient.sign()
