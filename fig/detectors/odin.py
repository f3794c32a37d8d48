"""ODIN: softmax at a temperature, after a step that makes the class more probable (Liang et al., 2018)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fig.detectors.baseline import log_odds
from fig.detectors.protocol import HeldOut, Scorer, Seen, Subject, Unfitted, chosen_by_id_images, towards
from fig.detectors.table import OdinSettings
from fig.folding import fold_network
from fig.settings import settings


@settings
class Odin(OdinSettings, Unfitted):
    """ODIN over the grid of temperatures and of magnitudes of the step, in units of the pixel range [0, 1].

    Without OOD data the temperature is 1000, or the largest, and the magnitude the one that held-out ID images choose
    (Generalized ODIN's ODIN*).
    """

    def scorer(self, subject: Subject, held_out: HeldOut) -> Scorer:
        """The scorer of the grid."""
        hot = Odin((max(self.temperatures),), self.magnitudes)
        magnitude = chosen_by_id_images(OdinScorer(subject, hot), held_out, list(range(len(self.magnitudes))))
        hottest = self.temperatures.index(max(self.temperatures))
        return OdinScorer(subject, self, hottest * len(self.magnitudes) + magnitude)


@dataclass(frozen=True)
class OdinScorer:
    """ODIN's scores over the grid, temperatures outermost."""

    subject: Subject
    odin: Odin
    chosen: int = 0

    @property
    def settings(self) -> tuple[str, ...]:
        """Temperature and magnitude of each column."""
        return tuple(
            f"temperature={temperature:g} magnitude={magnitude:g}"
            for temperature in self.odin.temperatures
            for magnitude in self.odin.magnitudes
        )

    def scores(self, seen: Seen) -> Tensor:
        """Scores (B, settings), as log-odds, which order images as the probability does.

        One forward pass, one backward pass for each temperature, then one forward pass for each setting whose
        magnitude is not 0.
        """
        network, columns = self.subject.network, []
        with fold_network(network, seen.inputs[:1]):
            with torch.enable_grad():
                inputs = seen.inputs.detach().requires_grad_()
                logits = network(inputs)
            for temperature in self.odin.temperatures:
                step = uncertain_direction(inputs, logits, temperature, self.subject.unit)
                for magnitude in self.odin.magnitudes:
                    with torch.no_grad():
                        moved = network(seen.inputs - magnitude * step) if magnitude else seen.logits
                    columns.append(log_odds(moved.double() / temperature))
        return torch.stack(columns, dim=1)


def uncertain_direction(inputs: Tensor, logits: Tensor, temperature: float, unit: Tensor) -> Tensor:
    """One unit of the pixel range in the direction in which the predicted class loses probability: as `inputs`."""
    probabilities = (logits.detach() / temperature).softmax(dim=1)
    predicted = F.one_hot(logits.argmax(dim=1), logits.shape[1])
    (gradient,) = torch.autograd.grad(logits, inputs, (probabilities - predicted) / temperature, retain_graph=True)
    return towards(gradient, unit)
