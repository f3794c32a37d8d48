"""A discriminator as a gate: class probabilities, OOD scores, and which images it accepts as in-distribution.

Nothing here needs MLflow: `fig.runtime.tracking` has what it asks of a model.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from fig import parallel
from fig.data.resample import centre, with_short_side
from fig.detectors.baseline import log_odds
from fig.discriminator import Discriminator, load
from fig.metrics import threshold
from fig.settings import Json

ID_SCORES = "scores/baseline.npz"  # in a discriminator's folder; `id` are those of the ID test images
ID_ACCEPTANCE = 0.95
BATCH = 256

Pixels = NDArray[np.uint8] | NDArray[np.int64]
Answer = NDArray[np.float64] | NDArray[np.int64] | NDArray[np.bool_]


@dataclass(frozen=True)
class Gate:
    """A discriminator in eval mode, and its baseline scores of the ID test images, from which thresholds come."""

    discriminator: Discriminator
    id_scores: NDArray[np.float64]

    def predict(self, images: Pixels, params: Mapping[str, Json] | None = None) -> dict[str, Answer]:
        """Images (N, size, size, 3) -> `class` (N,), `probabilities` (N, classes), `score` (N,), `accepted` (N,).

        `class` is the index of the most probable one; scores are higher for more in-distribution images. Accepted
        are scores that the share `id_acceptance` of the ID test images reaches. Raises ValueError where that is no
        share, where the shape is another, and where images are no whole numbers from 0 to 255, some above 1.
        """
        size = self.discriminator.architecture.size
        if images.ndim != 4 or not len(images) or images.shape[1:] != (size, size, 3):
            raise ValueError(f"images are {images.shape}, not (N, {size}, {size}, 3) with at least one")
        if images.dtype.kind not in "iu" or images.min() < 0 or images.max() > 255:
            raise ValueError("images are whole numbers from 0 to 255")
        if images.max() <= 1:
            raise ValueError("no pixel is above 1: images are whole numbers from 0 to 255, not shares from 0 to 1")
        return self.judge(images, params or {})

    def predict_files(self, files: Sequence[Json], params: Mapping[str, Json] | None = None) -> dict[str, Answer]:
        """What `predict` says of image files (PNG, JPEG) in base64, read by `decoded`; they may be black."""
        if not files:
            raise ValueError("there are no images")
        size = self.discriminator.architecture.size
        return self.judge(np.stack([decoded(file, size, row) for row, file in enumerate(files)]), params or {})

    def judge(self, images: Pixels, params: Mapping[str, Json]) -> dict[str, Answer]:
        """The answers for images that were looked at: (N, size, size, 3), from 0 to 255."""
        accepting = threshold(self.id_scores, params.get("id_acceptance", ID_ACCEPTANCE))
        device = self.discriminator.device
        batches = torch.tensor(images.astype(np.uint8)).permute(0, 3, 1, 2).split(BATCH)
        with torch.no_grad():
            logits = torch.cat([self.discriminator(batch.to(device)).double().cpu() for batch in batches])
        score = log_odds(logits).numpy()
        return {
            "class": logits.argmax(dim=1).numpy(),
            "probabilities": logits.softmax(dim=1).numpy(),
            "score": score,
            "accepted": score >= accepting,
        }


def decoded(file: Json, size: int, row: int) -> NDArray[np.uint8]:
    """Pixels (size, size, 3) of an image file in base64: RGB, the short side resized to `size`, the middle cut out.

    Resized is with antialiasing. Raises ValueError, with the row, where the text is no base64 of a PNG or JPEG file.
    """
    if not isinstance(file, str):
        raise ValueError(f"image {row} is no base64: it is no string")
    try:
        data = base64.b64decode(file, validate=True)
    except ValueError as error:
        raise ValueError(f"image {row} is no base64: {error}") from error
    try:
        image = Image.open(BytesIO(data), formats=("PNG", "JPEG")).convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: broken PNG chunks
        raise ValueError(f"image {row} is no PNG or JPEG file that can be read") from error
    return np.asarray(centre(with_short_side(image, size), size))


def load_gate(folder: Path) -> Gate:
    """The gate of the discriminator in a folder."""
    discriminator = load(folder).to(parallel.own_device()).eval().requires_grad_(False)
    with np.load(folder / ID_SCORES) as scores:
        return Gate(discriminator, scores["id"])
