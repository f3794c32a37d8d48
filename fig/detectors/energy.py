"""The energy detector (Liu et al., NeurIPS 2020)."""

from typing import ClassVar

from torch import Tensor

from fig.detectors.protocol import HeldOut, Scorer, Seen, Subject, Unfitted
from fig.detectors.table import EnergySettings
from fig.settings import settings


@settings
class Energy(EnergySettings, Unfitted):
    """The negative free energy, T log sum exp(logits / T): larger where the logits are."""

    settings: ClassVar[tuple[str, ...]] = ("",)
    chosen: ClassVar[int] = 0

    def scorer(self, subject: Subject, held_out: HeldOut) -> Scorer:
        """The detector as it is: it fits nothing."""
        return self

    def scores(self, seen: Seen) -> Tensor:
        """Scores (B, 1)."""
        return self.temperature * (seen.logits.double() / self.temperature).logsumexp(dim=1, keepdim=True)
