"""Prepared splits: a memory-mapped uint8 array of images and a small JSON that describes it. Needs no torch."""

import hashlib
import json
import mmap
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from fig.files import replacing
from fig.intact import explain_damage
from fig.settings import Json

Images = NDArray[np.uint8]  # (N, height, width, 3)
REMEDY = "prepare it again"
Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Description:
    """The content of the JSON that describes a prepared array."""

    dataset: str
    split: str
    count: int
    shape: tuple[int, int, int]  # height, width, channels
    classes: list[str]  # names; empty for an OOD set
    labels: list[int]  # one for each image, an index into classes; empty for an OOD set
    mean: Channels  # of the pixels in [0, 1]
    std: Channels
    about: str  # a description of the images and their origin for readers
    made: dict[str, Json]  # their origin for programs: recipe, hashes of the sources, unreadable images
    sha256: str  # of the array's bytes


@dataclass(frozen=True)
class Split:
    """An open prepared split."""

    images: Images  # (N, height, width, 3), on disk until you index them
    description: Description

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each image: (N,)."""
        return np.array(self.description.labels, dtype=np.int64)

    def release(self) -> None:
        """Release the memory of the pages that were read so far. The system's cache may keep them."""
        base = cast(object, self.images.base)  # NumPy's type is an array, but a memmap's base is the map
        if isinstance(self.images, np.memmap) and isinstance(base, mmap.mmap):
            base.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class Written:
    """Shape, hash and statistics of an array, collected while it was written."""

    shape: tuple[int, int, int, int]  # count, height, width, channels
    sha256: str
    mean: Channels  # of the pixels in [0, 1]
    std: Channels


def write_images(path: Path, batches: Iterable[Images]) -> Written:
    """Write batches (b, height, width, 3) one after the other as one array (.npy).

    Only one batch is in memory at a time. Raises ValueError if there are no images.
    """
    hashed, count, shape = hashlib.sha256(), 0, None
    total, squares = np.zeros(3), np.zeros(3)
    with path.open("wb") as file:
        for batch in batches:
            if not len(batch):
                continue
            if shape is None:
                shape = batch.shape[1:]
                write_header(file, (0, *shape))
            data = np.ascontiguousarray(batch)
            file.write(data.data)
            hashed.update(data.data)
            count += len(batch)
            values = data.reshape(-1, shape[1] * 3).astype(np.float32)  # rows of pixels: NumPy sums long rows faster
            total += values.sum(0, dtype=np.float64).reshape(-1, 3).sum(0)
            squares += (values * values).sum(0, dtype=np.float64).reshape(-1, 3).sum(0)
        if shape is None:
            raise ValueError(f"{path} would hold no image")
        file.seek(0)
        write_header(file, (count, *shape))  # of the same length, because NumPy leaves room for a larger first axis
    mean = total / (count * shape[0] * shape[1]) / 255
    std = np.sqrt(np.maximum(0, squares / (count * shape[0] * shape[1]) / 255**2 - mean**2))
    return Written((count, *shape), hashed.hexdigest(), tuple(mean.tolist()), tuple(std.tolist()))


def write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the header of a .npy file of uint8 pixels."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def describe(
    path: Path, written: Written, labels: list[int], classes: list[str], made: dict[str, Json], about: str = ""
) -> str:
    """Return the text of the JSON for the array at `path`, whose folder and name are data set and split."""
    count, height, width, channels = written.shape
    description = Description(
        dataset=path.parent.name,
        split=path.stem,
        count=count,
        shape=(height, width, channels),
        classes=classes,
        labels=labels,
        mean=written.mean,
        std=written.std,
        about=about,
        made=made,
        sha256=written.sha256,
    )
    return json.dumps(asdict(description)) + "\n"


def write_description(
    path: Path, written: Written, labels: list[int], classes: list[str], made: dict[str, Json], about: str = ""
) -> None:
    """Write the JSON next to the array at `path`."""
    with replacing(path.with_suffix(".json")) as partial:
        partial.write_text(describe(path, written, labels, classes, made, about))


def description_of(path: Path) -> Description:
    """Read the JSON next to a prepared array."""
    file = path.with_suffix(".json")
    with explain_damage(file, "description of a prepared split", REMEDY):
        return Description(**json.loads(file.read_bytes()))


def open_split(path: Path) -> Split:
    """Open a prepared split. Its images stay on disk until you index them."""
    description = description_of(path)
    with explain_damage(path, "array", REMEDY):
        images = np.lib.format.open_memmap(path, mode="r")
    if images.dtype != np.uint8 or images.shape != (description.count, *description.shape):
        raise ValueError(
            f"{path} holds {images.dtype} {images.shape}, not the {description.count} images of "
            f"{path.with_suffix('.json')}: {REMEDY}"
        )
    return Split(images, description)
