"""A discriminator as a gate: class probabilities, OOD scores, and which images it accepts as in-distribution.

MLflow finds `_load_pyfunc` by its name; nothing here needs MLflow.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fig import parallel
from fig.detectors.baseline import log_odds
from fig.discriminator import Discriminator, load
from fig.metrics import threshold
from fig.settings import Json

ID_SCORES = "scores/baseline.npz"  # in a discriminator's folder; `id` are those of the ID test images
ID_ACCEPTANCE = 0.95
BATCH = 256

Answer = NDArray[np.float64] | NDArray[np.bool_]


@dataclass(frozen=True)
class Gate:
    """A discriminator in eval mode, and its baseline scores of the ID test images, from which thresholds come."""

    discriminator: Discriminator
    id_scores: NDArray[np.float64]

    def predict(self, images: NDArray[np.uint8], params: Mapping[str, Json] | None = None) -> dict[str, Answer]:
        """Images (N, size, size, 3) -> `probabilities` (N, classes), `score` (N,), higher = more ID, `accepted` (N,).

        Accepted are scores that the share `id_acceptance` of the ID test images reaches. Raises ValueError where that
        is no share, and where no pixel is above 1: MLflow cuts pixels in [0, 1] that come as JSON down to 0.
        """
        if images.size and images.max() <= 1:
            raise ValueError("no pixel is above 1: images are whole numbers from 0 to 255, not shares from 0 to 1")
        accepting = threshold(self.id_scores, (params or {}).get("id_acceptance", ID_ACCEPTANCE))
        device = self.discriminator.device
        batches = torch.tensor(images).permute(0, 3, 1, 2).split(BATCH)  # a copy: what comes may be read-only
        with torch.no_grad():
            logits = torch.cat([self.discriminator(batch.to(device)).double().cpu() for batch in batches])
        score = log_odds(logits).numpy()
        return {"probabilities": logits.softmax(dim=1).numpy(), "score": score, "accepted": score >= accepting}


def _load_pyfunc(path: str) -> Gate:
    """The gate of the discriminator in a folder."""
    folder = Path(path)
    discriminator = load(folder).to(parallel.own_device()).eval().requires_grad_(False)
    with np.load(folder / ID_SCORES) as scores:
        return Gate(discriminator, scores["id"])
