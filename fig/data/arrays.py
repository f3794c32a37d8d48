"""Prepared splits: a memory-mapped uint8 array of images with a small JSON beside it, and batches of it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fig.files import replacing

Images = NDArray[np.uint8]  # (N, height, width, 3)


@dataclass(frozen=True)
class Description:
    """What the JSON beside a prepared array says."""

    dataset: str
    split: str
    count: int
    shape: tuple[int, int, int]  # height, width, channels
    classes: list[str]  # names; empty for an OOD set
    labels: list[int]  # one for each image, an index into classes; empty for an OOD set
    made: dict  # how: source, resampler, seed, ...
    sha256: str  # of the array's bytes


@dataclass(frozen=True)
class Split:
    """One prepared split, opened."""

    images: Images
    description: Description

    @property
    def labels(self) -> Tensor:
        """Class of each image: (N,)."""
        return torch.tensor(self.description.labels, dtype=torch.long)

    def batch(self, rows: Tensor) -> Tensor:
        """Images of these rows (b,) as uint8 (b, 3, height, width), channels last in memory."""
        return torch.from_numpy(self.images[rows.numpy()]).permute(0, 3, 1, 2)


def write_split(path: Path, images: Images, labels: list[int], classes: list[str], made: dict) -> None:
    """Write `<path>` (.npy) and its JSON, each whole or not at all, the JSON last; `path` names data set and split."""
    description = Description(
        dataset=path.parent.name,
        split=path.stem,
        count=len(images),
        shape=images.shape[1:],
        classes=classes,
        labels=labels,
        made=made,
        sha256=hashlib.sha256(np.ascontiguousarray(images).data).hexdigest(),
    )
    with replacing(path) as partial:
        np.save(partial, images)
    with replacing(path.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(asdict(description)) + "\n")


def open_split(path: Path) -> Split:
    """Open a prepared split; its images stay on disk until they are indexed."""
    description = Description(**json.loads(path.with_suffix(".json").read_text()))
    images = np.load(path, mmap_mode="r")
    if images.dtype != np.uint8 or images.shape != (description.count, *description.shape):
        raise ValueError(
            f"{path} holds {images.dtype} {images.shape}, not the {description.count} images of "
            f"{path.with_suffix('.json')}: prepare it again"
        )
    return Split(images, description)
