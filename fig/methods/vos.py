"""VOS: virtual outliers at the edge of each class's features (Du et al., ICLR 2022, arXiv 2202.01197)."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fig.methods.batch import Batch
from fig.methods.protocol import NETWORK, Loss, Method, Player, Players
from fig.methods.standard import measure_logits, seen_of
from fig.methods.table import VosSettings
from fig.networks.heads import last_linear
from fig.networks.taps import Tap, tap_modules
from fig.objectives import cross_entropy
from fig.settings import settings

UNCERTAINTY = "uncertainty"
RIDGE = 1e-4  # added to the variances


class Uncertainty(nn.Module):
    """Tells ID features from outliers by a weighted energy of their logits, and keeps the last features of each class.

    Of each class the queue holds as many as it is long, the newest last; `layer` is the network's last linear layer.
    """

    queue: Tensor  # (C, length, D)
    filled: Tensor  # (C,): how many there are
    epochs: Tensor  # (): how many have begun

    def __init__(self, layer: str, classes: int, features: int, length: int, generator: torch.Generator) -> None:
        super().__init__()
        self.layer = layer
        self.weights = nn.Parameter(torch.rand(classes, generator=generator))
        self.logistic = nn.Linear(1, 2)  # of being an outlier, and of being none
        for parameter in self.logistic.parameters():
            nn.init.uniform_(parameter, -1, 1, generator)  # as torch does with one input
        self.register_buffer("queue", torch.zeros(classes, length, features))
        self.register_buffer("filled", torch.zeros(classes, dtype=torch.long))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.long))

    def forward(self, id_logits: Tensor, outlier_logits: Tensor) -> Tensor:
        """Sum of the cross-entropies of being in-distribution or not: (b, C) and (n, C) logits -> scalar."""
        logits = torch.cat([id_logits, outlier_logits]).float()
        highest = logits.amax(dim=1, keepdim=True)
        sums = ((logits - highest).exp() * self.weights.relu()).sum(dim=1)
        energies = highest[:, 0] + sums.clamp(min=1e-30).log()
        inside = torch.arange(len(logits), device=logits.device) < len(id_logits)
        return F.cross_entropy(self.logistic(energies[:, None]), inside.long(), reduction="sum")

    def remember(self, features: Tensor, labels: Tensor) -> None:
        """Append the features (B, D) of a mini-batch to their classes' queues."""
        length = self.queue.shape[1]
        for index in range(len(self.queue)):
            new = features[labels == index]
            self.queue[index] = torch.cat([self.queue[index], new])[-length:]
            self.filled[index] = (self.filled[index] + len(new)).clamp(max=length)

    @property
    def full(self) -> bool:
        """Whether there are enough features of each class."""
        return bool((self.filled == self.queue.shape[1]).all())


@settings
class Vos(VosSettings, Method):
    """Least likely draws of Gaussians of each class's penultimate features, which the energy learns to tell apart.

    The Gaussians share one covariance, that of the queues' features. From `start_epoch` on, where the queues are full,
    one outlier of each class goes through the last linear layer in each iteration. The energy's weights and a logistic
    layer learn together with the network, from the same loss. In OpenOOD's code no gradient of it reaches the network
    or the energy's weights; here both are trained, as in the authors'.
    """

    def companions(self, network: nn.Module, shape: tuple[int, ...], generator: torch.Generator) -> dict[str, Player]:
        """What tells outliers from ID images."""
        layer, linear = last_linear(network, torch.zeros(1, *shape, device=next(network.parameters()).device))
        made = Uncertainty(layer, linear.out_features, linear.in_features, self.queue, generator)
        optimizer = torch.optim.SGD(made.parameters(), self.learning_rate, 0.9, weight_decay=5e-4, nesterov=True)
        return {UNCERTAINTY: Player(made, optimizer)}

    def losses(self, players: Players, batch: Batch, generator: torch.Generator) -> Iterator[Loss]:
        """The cross-entropy and the weighted logistic loss, for the network and, of the same logits, for its part."""
        network, uncertainty = players[NETWORK], players[UNCERTAINTY]
        assert isinstance(uncertainty, Uncertainty)
        with tap_modules(network, {"": Tap(uncertainty.layer, given=True)}) as kept:
            logits = network(batch.inputs)
        loss, row = cross_entropy(logits, batch.labels, batch.total), seen_of(logits, batch.labels)
        uncertainty.epochs += batch.begins_epoch
        ready = uncertainty.full and bool(uncertainty.epochs > self.start_epoch)
        uncertainty.remember(batch.of_all_workers(kept[""]), batch.whole_labels)
        if not ready:
            yield Loss(loss, row)
            return
        with torch.autocast(batch.whole.device.type, enabled=False):
            outliers = draw_outliers(uncertainty.queue, self.draws, generator)
        total = batch.total + len(outliers)
        outlier_logits = network.get_submodule(uncertainty.layer)(outliers[batch.share(len(outliers))])
        unsure = self.weight / total * uncertainty(logits, outlier_logits)
        yield Loss(loss + unsure, row | measure_logits("generated", outlier_logits))
        yield Loss(self.weight / total * uncertainty(logits.detach(), outlier_logits.detach()), {}, UNCERTAINTY)


def draw_outliers(queue: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    """The least likely of `draws` of each class's Gaussian, fitted to features (C, length, D): (C, D).

    A draw is the mean + L z, with L L^T the covariance and z standard normal: the less likely, the longer z.
    """
    features = queue.double()
    means = features.mean(dim=1)  # (C, D)
    centred = (features - means[:, None]).flatten(0, 1)  # (C length, D)
    covariance = centred.T @ centred / len(centred)
    covariance.diagonal().add_(RIDGE)
    longest = []
    for _ in means:
        normal = torch.randn((draws, queue.shape[2]), generator=generator, device=generator.device)
        longest.append(normal[normal.square().sum(dim=1).argmax()])
    directions = torch.stack(longest).to(features)  # (C, D)
    outliers: Tensor = means + directions @ torch.linalg.cholesky(covariance).T
    return outliers.to(queue)
