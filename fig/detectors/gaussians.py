"""Class means and the covariance they share, from sums over batches, for features that may be degenerate."""

from dataclasses import dataclass

import torch
from scipy.linalg import pinvh
from torch import Tensor


@dataclass
class Moments:
    """Sums over features (B, D) seen so far, in float64, from which means and covariance come."""

    counts: Tensor  # (C,)
    sums: Tensor  # (C, D)
    products: Tensor  # (D, D)

    @staticmethod
    def of(classes: int, features: int, device: torch.device | None = None) -> "Moments":
        """Sums over nothing yet, on the device of what they will see."""
        zeros = torch.zeros(classes, features, dtype=torch.float64, device=device)
        return Moments(zeros[:, 0].clone(), zeros, zeros.new_zeros(features, features))

    def see(self, features: Tensor, labels: Tensor) -> None:
        """Add features (B, D) with their labels (B,)."""
        features = features.double()
        classes = torch.arange(len(self.counts), device=labels.device)
        members = (labels[:, None] == classes).double()  # (B, C): to count by labels would be to wait for the device
        self.counts += members.sum(dim=0)
        self.sums += members.T @ features
        self.products += features.T @ features

    def on_cpu(self) -> "Moments":
        """The same on the CPU."""
        return Moments(self.counts.cpu(), self.sums.cpu(), self.products.cpu())

    def merge(self, other: "Moments") -> None:
        """Add what another one has seen."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def means(self) -> Tensor:
        """Means of the classes (C, D); NaN for a class of which nothing was seen."""
        return self.sums / self.counts[:, None]

    @property
    def covariance(self) -> Tensor:
        """The maximum likelihood covariance (D, D) of features less their class mean.

        Raises ValueError where there are fewer than two images.
        """
        total = self.counts.sum()
        if total < 2:
            raise ValueError(f"{int(total)} images give no covariance: at least two are needed")
        seen = self.counts > 0
        between = (self.sums[seen] / self.counts[seen, None]).T @ self.sums[seen]
        return (self.products - between) / total


def precision(covariance: Tensor) -> Tensor:
    """The pseudo-inverse (D, D): directions in which the features do not vary count for nothing."""
    inverse: Tensor = torch.from_numpy(pinvh(covariance.numpy()))
    return inverse


def root_of(precision: Tensor) -> Tensor:
    """W (D, D) with precision = W W^T, so that Mahalanobis distances are Euclidean ones of features times W."""
    values, vectors = torch.linalg.eigh(precision)
    root: Tensor = vectors * values.clamp(min=0).sqrt()
    return root
