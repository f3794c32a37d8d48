"""Make a prepared split: ID images at their size, or an OOD set resized (r) or randomly cropped (c)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize
from tqdm import tqdm

from fig.data.catalogue import ID_DATASETS, ood_parts
from fig.data.packaged import digits, photographs

WINDOWS_PER_PHOTOGRAPH = 64


@dataclass(frozen=True)
class Prepared:
    """A split ready to be written."""

    images: NDArray[np.uint8]  # (N, size, size, 3)
    labels: list[int]  # one for each image; empty for an OOD set
    classes: list[str]  # names; empty for an OOD set
    made: dict  # how: source, resampler, seed


def prepared(dataset: str, split: str, size: int, seed: int) -> Prepared:
    """The split `train` or `test` of an ID data set, or an OOD set's `test`, at `size` pixels a side."""
    return prepared_digits(split, size, seed) if dataset in ID_DATASETS else prepared_photos(dataset, size, seed)


def prepared_digits(split: str, size: int, seed: int) -> Prepared:
    """Digits of 8 x 8 pixels, upscaled bilinearly."""
    images, labels = digits(split, seed)
    made = {"source": "scikit-learn digits", "resampler": "antialias", "seed": seed}
    return Prepared(resized(images, size, "antialias"), labels, [str(digit) for digit in range(10)], made)


def prepared_photos(dataset: str, size: int, seed: int) -> Prepared:
    """Windows of photographs: of varying size and resized, or of the wanted size as they are."""
    _, way = ood_parts(dataset)
    generator = np.random.default_rng(seed)
    images = []
    for _, photograph in tqdm(list(photographs()), desc=dataset, unit="photograph"):
        for _ in range(WINDOWS_PER_PHOTOGRAPH):
            window = random_window(photograph, size if way == "crop" else None, generator)
            images.append(window if way == "crop" else resized(window[None], size, way)[0])
    made = {"source": "scikit-learn and scikit-image photographs", "resampler": way, "seed": seed}
    return Prepared(np.stack(images), [], [], made)


def random_window(photograph: Image.Image, size: int | None, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A square window (side, side, 3) at a random place, of side `size` or of a random one from 64 pixels up."""
    shortest = min(photograph.size)
    side = size or int(generator.integers(min(64, shortest), shortest + 1))
    left, top = (int(generator.integers(length - side + 1)) for length in photograph.size)
    return np.asarray(photograph.crop((left, top, left + side, top + side)))


def resized(images: NDArray[np.uint8], size: int, resampler: str) -> NDArray[np.uint8]:
    """Whole images (N, height, width, 3) as (N, size, size, 3) by a named resampler: antialias, bilinear or nearest."""
    mode = InterpolationMode.NEAREST if resampler == "nearest" else InterpolationMode.BILINEAR
    batch = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)
    return (
        resize(batch, [size, size], mode, antialias=resampler == "antialias").permute(0, 2, 3, 1).contiguous().numpy()
    )
