"""A discriminator as a gate: classes, their probabilities, OOD scores, and which images are accepted.

Nothing here needs MLflow: `fig.runtime.tracking` has what it asks of a model.
"""

import binascii
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from fig import parallel
from fig.data.decoding import decode
from fig.data.prepare import UNREADABLE
from fig.data.resample import centre, with_short_side
from fig.detectors.baseline import log_odds
from fig.discriminator import Discriminator, load, load_card
from fig.intact import read_scores
from fig.metrics import threshold
from fig.settings import Json

ID_SCORES = "scores/baseline.npz"  # in a discriminator's folder; `id` are those of the ID test images
EVALUATE = "evaluate the discriminator again, with the detector `baseline`"
ID_ACCEPTANCE = 0.95
BATCH = 256
LARGEST = 2**25  # pixels of an encoded image: a few kilobytes may state thousands of megabytes of them
FORMATS = ("JPEG", "PNG")  # of encoded images: Pillow reads others by starting programs

Answer = NDArray[np.float64] | NDArray[np.bool_] | NDArray[np.int64] | NDArray[np.str_]
Encoded = str | bytes


@dataclass(frozen=True)
class Gate:
    """A discriminator in eval mode, and its baseline scores of the ID test images, from which thresholds come."""

    discriminator: Discriminator
    id_scores: NDArray[np.float64]
    class_names: Sequence[str] = ()

    def predict(self, images: Iterable[object], params: Mapping[str, Json] | None = None) -> dict[str, Answer]:
        """What is said of images, which `read_images` takes; raises ValueError, in a sentence, where that cannot be.

        `class` (N,), its name or else its number, `confidence` (N,), `probabilities` (N, classes), `score` (N,),
        higher = more in-distribution, and `accepted` (N,): whether the score is one that the share `id_acceptance`
        of the ID test images reaches.
        """
        share = (params or {}).get("id_acceptance", ID_ACCEPTANCE)
        if not isinstance(share, int | float):
            raise ValueError(f"id_acceptance is {share!r:.40}: it must be a number above 0 and at most 1")
        accepting = threshold(self.id_scores, share)
        device = self.discriminator.device
        pixels = read_images(images, self.discriminator.architecture.size)
        batches = torch.tensor(pixels).permute(0, 3, 1, 2).split(BATCH)  # a copy: what comes may be read-only
        with torch.no_grad():
            logits = torch.cat([self.discriminator(batch.to(device)).double().cpu() for batch in batches])
        probabilities, score = logits.softmax(dim=1).numpy(), log_odds(logits).numpy()
        number = probabilities.argmax(axis=1)
        return {
            "class": np.array(self.class_names)[number] if self.class_names else number,
            "confidence": probabilities.max(axis=1),
            "probabilities": probabilities,
            "score": score,
            "accepted": score >= accepting,
        }


def read_images(given: Iterable[object], size: int) -> NDArray[np.uint8]:
    """Images as pixels (N, size, size, 3): whole numbers from 0 to 255 of that shape, or encoded, PNG or JPEG.

    Encoded images are bytes or base64 (a data URL is one too); they become RGB as `decode` has it, the short side is
    resized with antialiasing, and the middle is cut out. Raises ValueError, in a sentence, for anything else.
    """
    if isinstance(given, np.ndarray) and given.ndim and given.dtype.kind in "biuf":
        return check_pixels(given, size)  # a list of its millions of numbers would take gigabytes
    images = [given.item()] if isinstance(given, np.ndarray) and not given.ndim else list(given)
    if any(isinstance(each, Encoded) for each in images):
        return np.stack([decode_image(each, place, size) for place, each in enumerate(images)])
    try:
        pixels = np.array(images)
    except ValueError:
        raise ValueError(f"the images are not all of one shape: each must be ({size}, {size}, 3)") from None
    return check_pixels(pixels, size)


def check_pixels(pixels: NDArray[np.int64 | np.float64 | np.bool_], size: int) -> NDArray[np.uint8]:
    """Whole numbers from 0 to 255 of shape (N, size, size, 3) as uint8; raises ValueError for anything else."""
    if not len(pixels):
        raise ValueError("there are no images")
    if pixels.dtype.kind not in "iu":
        what = "neither base64 nor whole numbers from 0 to 255"
        raise ValueError(f"the images are {what}" + (f", but {pixels.dtype}" if pixels.dtype.kind in "fb" else ""))
    if pixels.shape[1:] != (size, size, 3):
        raise ValueError(f"the images are of shape {pixels.shape[1:]}: each must be ({size}, {size}, 3)")
    if pixels.min() < 0 or pixels.max() > 255:
        raise ValueError(f"pixels are from {pixels.min()} to {pixels.max()}: they must be from 0 to 255")
    if pixels.max() <= 1:
        raise ValueError("no pixel is above 1: images are whole numbers from 0 to 255, not shares from 0 to 1")
    return pixels.astype(np.uint8)


def decode_image(given: object, place: int, size: int) -> NDArray[np.uint8]:
    """An encoded image as pixels (size, size, 3); `place` names it in an error, from 0."""
    if not isinstance(given, Encoded):
        raise ValueError(f"image {place} is not base64, but others are")
    try:
        data = given if isinstance(given, bytes) else decode_base64(given)
    except (binascii.Error, ValueError):
        raise ValueError(f"image {place} is not base64") from None
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as header:  # reads no more than the header
            width, height = header.size
        if max(width * height, size**2 * max(width, height) // min(width, height)) <= LARGEST:
            return np.asarray(centre(with_short_side(decode(data), size), size))
    except UNREADABLE:
        raise ValueError(f"image {place} is not a readable {' or '.join(FORMATS)} image") from None
    where = f"before and after the short side becomes {size}"
    raise ValueError(f"image {place} has {width:,} x {height:,} pixels: make it smaller, at most {LARGEST:,} {where}")


def decode_base64(text: str) -> bytes:
    """The bytes that base64 or a data URL holds; lines may be broken."""
    held = text.partition(",")[2] if text.startswith("data:") else text
    return b64decode("".join(held.split()), validate=True)


def load_gate(folder: Path) -> Gate:
    """The gate of the discriminator in a folder; a registered model is code, so the folder's factory runs."""
    discriminator = load(folder, trust_factory=True).to(parallel.own_device()).eval().requires_grad_(False)
    return Gate(discriminator, read_scores(folder / ID_SCORES, EVALUATE)["id"], load_card(folder).class_names)
