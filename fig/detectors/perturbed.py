"""What Mahalanobis and residual flow share: densities of each stage's features, after a step towards the likeliest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fig.detectors.protocol import HeldOut, Seen, Subject, chosen_by_id_images, towards
from fig.folding import fold_network
from fig.networks.taps import Tap, kept_at, pooled, tap_modules

MEAN = "mean."  # begins the names of taps that keep spatial means


class Density(Protocol):
    """Densities of the classes' features at one stage."""

    def logs(self, features: Tensor) -> Tensor:
        """Log densities, up to a constant, of pooled features: (B, D) -> (B, C), differentiable."""


def stage_taps(subject: Subject) -> dict[str, Tap]:
    """Spatial means at the end of each stage."""
    return {f"{MEAN}{stage}": Tap(stage, pooled) for stage in subject.stages}


def stage_means(seen: Seen) -> dict[str, Tensor]:
    """What these taps kept of a batch: (B, D) each."""
    return {name: features for name, features in seen.kept.items() if name.startswith(MEAN)}


@dataclass(frozen=True)
class PerturbedScorer:
    """Sum over stages of the largest class density, after a step of each magnitude towards the most likely class.

    The step is taken for each stage on its own, with a gradient of that stage; a magnitude is in units of the pixel
    range [0, 1].
    """

    subject: Subject
    densities: Sequence[Density]  # one for each stage
    magnitudes: tuple[float, ...]
    chosen: int = 0

    @property
    def settings(self) -> tuple[str, ...]:
        """The magnitude of each column."""
        return tuple(f"magnitude={magnitude:g}" for magnitude in self.magnitudes)

    def scores(self, seen: Seen) -> Tensor:
        """Scores (B, settings): one forward pass for the gradients of all stages, then passes no deeper than each."""
        total = torch.zeros(len(seen.inputs), len(self.magnitudes), dtype=torch.float64, device=seen.inputs.device)
        steps = self.steps(seen.inputs) if any(self.magnitudes) else [torch.empty(0)] * len(self.densities)
        with torch.no_grad(), fold_network(self.subject.network, seen.inputs[:1]):
            for (name, tap), density, step in zip(stage_taps(self.subject).items(), self.densities, steps, strict=True):
                for column, magnitude in enumerate(self.magnitudes):
                    moved = seen.kept[name]
                    if magnitude:
                        moved = kept_at(self.subject.network, tap, seen.inputs + magnitude * step)
                    total[:, column] += density.logs(moved.double()).amax(dim=1)
        return total

    def steps(self, inputs: Tensor) -> list[Tensor]:
        """For each stage one unit of the pixel range in the direction of the most likely class, as `inputs`."""
        network = self.subject.network
        with (
            fold_network(network, inputs[:1]),
            tap_modules(network, stage_taps(self.subject)) as kept,
            torch.enable_grad(),
        ):
            inputs = inputs.detach().requires_grad_()
            network(inputs)
            gradients = []
            for features, density in zip(kept.values(), self.densities, strict=True):
                likely = density.logs(features.double()).amax(dim=1)
                gradients.append(torch.autograd.grad(likely.sum(), inputs, retain_graph=True)[0])
        return [towards(gradient, self.subject.unit) for gradient in gradients]

    def choose_magnitude(self, held_out: HeldOut) -> "PerturbedScorer":
        """The scorer with the magnitude chosen that held-out ID images choose."""
        chosen = chosen_by_id_images(self, held_out, list(range(len(self.magnitudes))))
        return PerturbedScorer(self.subject, self.densities, self.magnitudes, chosen)
