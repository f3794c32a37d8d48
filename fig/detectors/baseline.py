"""The baseline detector: the maximum softmax probability (Hendrycks and Gimpel, 2017)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Baseline:
    """The maximum softmax probability p as its log-odds, log p / (1 - p).

    The order of the images is that of p, so every rank statistic is too; but where p itself is rounded to 1 and
    ties thousands of confident images, the log-odds, taken from the logits in float64, still tell them apart.
    """

    def score(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """Scores (B,) of scaled images (B, channels, height, width); the logits need at least two classes."""
        with torch.no_grad():
            return log_odds(network(inputs).double())


def log_odds(logits: Tensor) -> Tensor:
    """Log p / (1 - p) of the most probable class: (B, C) logits -> (B,)."""
    ordered = logits.sort(dim=1, descending=True).values  # (B, C)
    return ordered[:, 0] - ordered[:, 1:].logsumexp(dim=1)
