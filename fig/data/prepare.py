"""Make a prepared split: ID images at their size, or an OOD set resized (r) or randomly cropped (c)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tqdm import tqdm

from fig.data.catalogue import ID_DATASETS, ood_parts
from fig.data.folders import class_files, image_files, pixels
from fig.data.packaged import digits, photographs

Picture = NDArray[np.uint8]  # (height, width, 3)

WINDOWS_PER_PHOTOGRAPH = 64
SMALLEST_WINDOW = 64  # pixels a side


@dataclass(frozen=True)
class Prepared:
    """A split ready to be written."""

    images: NDArray[np.uint8]  # (N, size, size, 3)
    labels: list[int]  # one for each image; empty for an OOD set
    classes: list[str]  # names; empty for an OOD set
    made: dict  # how: source, resampler, seed


def prepared(dataset: str, split: str, size: int, seed: int, raw: Path) -> Prepared:
    """The split `train` or `test` of an ID data set, or an OOD set's `test`, at `size` pixels a side.

    `raw` is the folder with the images of the sources that no Python package ships: `<raw>/<dataset>/<split>/<class>/`
    for an ID data set, any tree of images in `<raw>/<source>/` for an OOD set.
    """
    if dataset in ID_DATASETS:
        return prepared_id(dataset, split, size, seed, raw)
    source, way = ood_parts(dataset)
    generator = np.random.default_rng(seed)
    pictures = windows(generator) if source == "photos" else map(pixels, image_files(raw / source))
    total = WINDOWS_PER_PHOTOGRAPH * len(photographs()) if source == "photos" else len(image_files(raw / source))
    made = {"source": source, "resampler": way, "seed": seed}
    return Prepared(fitted(tqdm(pictures, dataset, total, unit="image"), size, way, generator), [], [], made)


def prepared_id(dataset: str, split: str, size: int, seed: int, raw: Path) -> Prepared:
    """A labelled split, resized to its size where the images are of another."""
    made = {"source": dataset, "resampler": "antialias", "seed": seed}
    if dataset == "digits":
        images, labels = digits(split, seed)
        return Prepared(resized(images, size, "antialias"), labels, [str(digit) for digit in range(10)], made)
    files, labels, classes = class_files(raw / dataset / split)
    pictures = tqdm(map(pixels, files), f"{dataset} {split}", len(files), unit="image")
    return Prepared(fitted(pictures, size, "antialias", np.random.default_rng(seed)), labels, classes, made)


def fitted(pictures: Iterable[Picture], size: int, way: str, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Pictures of any size as (N, size, size, 3): wholly resized by the resampler `way`, or a random `crop` of each."""
    return np.stack([crop(p, size, generator) if way == "crop" else resized(p[None], size, way)[0] for p in pictures])


def crop(picture: Picture, size: int, generator: np.random.Generator) -> Picture:
    """A random crop of `size` pixels a side; a smaller picture is first resized so that its short side fits."""
    height, width, _ = picture.shape
    if min(height, width) < size:
        scale = size / min(height, width)
        picture = resampled(picture[None], (round(height * scale), round(width * scale)), "antialias")[0]
    top, left = (int(generator.integers(length - size + 1)) for length in picture.shape[:2])
    return picture[top : top + size, left : left + size]


def windows(generator: np.random.Generator) -> Iterator[Picture]:
    """Square windows of the photographs, at random places and of random sides from SMALLEST_WINDOW up."""
    for photograph in photographs():
        for _ in range(WINDOWS_PER_PHOTOGRAPH):
            side = int(generator.integers(SMALLEST_WINDOW, min(photograph.shape[:2]) + 1))
            yield crop(photograph, side, generator)


def resized(images: NDArray[np.uint8], size: int, resampler: str) -> NDArray[np.uint8]:
    """Whole images (N, height, width, 3) as (N, size, size, 3) by a resampler: antialias, bilinear or nearest."""
    return resampled(images, (size, size), resampler)


def resampled(images: NDArray[np.uint8], shape: tuple[int, int], resampler: str) -> NDArray[np.uint8]:
    """Images (N, height, width, 3) at another height and width."""
    mode = "nearest" if resampler == "nearest" else "bilinear"
    batch = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float()
    fitted = F.interpolate(batch, shape, mode=mode, antialias=resampler == "antialias")
    return fitted.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
