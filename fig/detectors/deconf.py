"""DeConf-C*'s own detector: the largest cosine, after a step that raises it (Generalized ODIN, Hsu et al., 2020)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fig.detectors.protocol import HeldOut, Scorer, Seen, Subject, Unfitted, chosen_by_id_images, towards
from fig.detectors.table import DeconfSettings
from fig.folding import fold_network
from fig.networks.heads import Cosine
from fig.networks.taps import Tap, kept_at
from fig.settings import settings

COSINES = "deconf.cosines"


@settings
class Deconf(DeconfSettings, Unfitted):
    """DeConf-C* with steps of several magnitudes.

    Without OOD data the magnitude is the one that held-out ID images choose. The discriminator must have a cosine head.
    """

    def taps(self, subject: Subject) -> dict[str, Tap]:
        """The cosines with the classes' directions; raises ValueError for a network that has none."""
        return {COSINES: cosines_of(subject.network)}

    def scorer(self, subject: Subject, held_out: HeldOut) -> Scorer:
        """The scorer of all magnitudes."""
        chosen = chosen_by_id_images(
            DeconfScorer(subject, self.magnitudes), held_out, list(range(len(self.magnitudes)))
        )
        return DeconfScorer(subject, self.magnitudes, chosen)


def cosines_of(network: nn.Module) -> Tap:
    """Return the tap of a network's cosine head; raises ValueError if it has no such head."""
    for name, module in network.named_modules():
        if isinstance(module, Cosine):
            return Tap(name)
    raise ValueError("it has no cosine head, which discriminators trained by the method deconf have")


@dataclass(frozen=True)
class DeconfScorer:
    """The largest cosine, after a step of each magnitude in the direction in which it rises."""

    subject: Subject
    magnitudes: tuple[float, ...]
    chosen: int = 0

    @property
    def settings(self) -> tuple[str, ...]:
        """The magnitude of each column."""
        return tuple(f"magnitude={magnitude:g}" for magnitude in self.magnitudes)

    def scores(self, seen: Seen) -> Tensor:
        """Scores (B, settings): a pass forward and back, then a forward pass for each magnitude that is not 0."""
        network, tap, columns = self.subject.network, cosines_of(self.subject.network), []
        with fold_network(network, seen.inputs[:1]):
            step = self.step(seen.inputs, tap) if any(self.magnitudes) else seen.inputs
            for magnitude in self.magnitudes:
                with torch.no_grad():
                    moved = kept_at(network, tap, seen.inputs + magnitude * step) if magnitude else seen.kept[COSINES]
                columns.append(moved.double().amax(dim=1))
        return torch.stack(columns, dim=1)

    def step(self, inputs: Tensor, tap: Tap) -> Tensor:
        """One unit of the pixel range in the direction in which the largest cosine rises: as `inputs`."""
        with torch.enable_grad():
            inputs = inputs.detach().requires_grad_()
            largest = kept_at(self.subject.network, tap, inputs).amax(dim=1)
            (gradient,) = torch.autograd.grad(largest.sum(), inputs)
        return towards(gradient, self.subject.unit)
