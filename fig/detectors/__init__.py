"""The detectors that one chooses by name: each gives images a score, higher = more in-distribution."""

from typing import Protocol

from torch import Tensor, nn

from fig.detectors.baseline import Baseline


class Detector(Protocol):
    """What the evaluation asks of a detector."""

    def score(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """Scores (B,) in float64, higher = more in-distribution, of scaled images (B, channels, height, width)."""


DETECTORS: dict[str, type[Detector]] = {"baseline": Baseline}
