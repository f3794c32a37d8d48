"""What the stages share that look at a discriminator: it is loaded, and samples become files."""

from math import ceil, sqrt
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from fig import parallel
from fig.discriminator import Card, Discriminator, load, load_card
from fig.files import replacing
from fig.sampler import Samples
from fig.settings import Resources


def load_on_device(folder: Path, resources: Resources) -> tuple[Discriminator, Card]:
    """The discriminator in a folder, on the device of a worker with these resources, and its card."""
    return load(folder, trust_factory=True).to(parallel.device_for(resources.gpus_per_worker)), load_card(folder)


def write_arrays(path: Path, **arrays: ArrayLike) -> None:
    """Write arrays as one .npz file, whole or not at all."""
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle


def pixels_of(images: Tensor) -> NDArray[np.uint8]:
    """Images (N, 3, height, width) in [-1, 1] as pixels (N, height, width, 3), 0 at -1 and 255 at 1."""
    pixels: NDArray[np.uint8] = ((images.cpu() + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return pixels


def write_samples(picture: Path, samples: Samples) -> None:
    """Write samples as a grid of pictures, black at -1 and white at 1, and as arrays (.npz) next to it."""
    pixels = pixels_of(samples.images)
    arrays = {name: getattr(samples, name).cpu().numpy() for name in ("confidence", "energy", "predicted", "steps")}
    write_arrays(picture.with_suffix(".npz"), images=pixels, **arrays)
    with replacing(picture) as partial:
        Image.fromarray(grid(pixels)).save(partial, format="png")


def grid(images: NDArray[np.uint8], border: int = 2) -> NDArray[np.uint8]:
    """Images (N, height, width, 3) as one picture, about as wide as high, with black borders."""
    columns = ceil(sqrt(len(images)))
    missing = -len(images) % columns
    framed = np.pad(images, ((0, missing), (border, border), (border, border), (0, 0)))
    _, height, width, channels = framed.shape
    rows = framed.reshape(-1, columns, height, width, channels).swapaxes(1, 2)  # (rows, height, columns, width, 3)
    return rows.reshape(-1, columns * width, channels)
