"""Mahalanobis (MLB): distance of each stage's features to the nearest class mean (Lee et al., 2018)."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from fig.detectors.gaussians import Moments, precision, root_of
from fig.detectors.perturbed import PerturbedScorer, stage_means, stage_taps
from fig.detectors.protocol import HeldOut, Scorer, Seen, Subject
from fig.detectors.table import MahalanobisSettings
from fig.networks.taps import Tap
from fig.settings import settings


@settings
class Mahalanobis(MahalanobisSettings):
    """Scores of the stages are added, without Lee et al.'s logistic regression.

    Without OOD data the magnitude is the one that held-out ID images choose.
    """

    def taps(self, subject: Subject) -> dict[str, Tap]:
        """Spatial means of every stage."""
        return stage_taps(subject)

    def observer(self, subject: Subject) -> "MahalanobisObserver":
        """Sums of every stage's features."""
        return MahalanobisObserver(subject.classes, self.magnitudes)


@dataclass
class MahalanobisObserver:
    """Moments of every stage's features."""

    classes: int
    magnitudes: tuple[float, ...]
    moments: dict[str, Moments] = field(default_factory=dict)  # by tap

    def see(self, seen: Seen, labels: Tensor) -> None:
        """Add a batch's features to the sums."""
        for name, features in stage_means(seen).items():
            if name not in self.moments:
                self.moments[name] = Moments.of(self.classes, features.shape[1], features.device)
            self.moments[name].see(features, labels)

    def merge(self, other: "MahalanobisObserver") -> None:
        """Add another worker's sums."""
        for name, moments in other.moments.items():
            self.moments[name].merge(moments) if name in self.moments else self.moments.update({name: moments})

    def scorer(self, subject: Subject, held_out: HeldOut) -> Scorer:
        """Distances to class means under the covariance that the classes share."""
        densities = [Gaussians.of(self.moments[name], subject.unit.device) for name in stage_taps(subject)]
        return PerturbedScorer(subject, densities, self.magnitudes).choose_magnitude(held_out)


@dataclass(frozen=True)
class Gaussians:
    """Gaussians of equal covariance, one for each class that was seen."""

    means: Tensor  # (C, D), times the root
    root: Tensor  # (D, D), of the precision

    @staticmethod
    def of(moments: Moments, device: torch.device) -> "Gaussians":
        """The Gaussians of these moments; a class of which nothing was seen has none."""
        moments = moments.on_cpu()
        root = root_of(precision(moments.covariance))
        means = moments.means[moments.counts > 0] @ root
        return Gaussians(means.to(device), root.to(device))

    def logs(self, features: Tensor) -> Tensor:
        """Minus half the squared Mahalanobis distance to each class mean: (B, D) -> (B, C)."""
        white = features @ self.root  # (B, D)
        squares = white.square().sum(dim=1, keepdim=True) + self.means.square().sum(dim=1)  # (B, C)
        return white @ self.means.T - 0.5 * squares
