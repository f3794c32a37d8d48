"""Make a prepared split out of publishers' files: decoded in parallel, in bounded memory, in the order of the files."""

import hashlib
import logging
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from fig.data.archives import names_below
from fig.data.arrays import Description, Images, description_of, write_description, write_images
from fig.data.catalogue import Recipe
from fig.data.decoding import decode, explain_unreadable
from fig.data.listing import NONE, Listing, Picture
from fig.data.readers import READERS
from fig.data.resample import centre, crop, resized, with_short_side
from fig.files import replacing

BROKEN = 0.01  # largest share of images that may be unreadable
CHUNK = 128  # images a task: enough that sending them costs little, few enough for bounded memory
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # what Pillow raises for bad images

log = logging.getLogger("fig")

Task = TypeVar("Task")
Result = TypeVar("Result")
Chunk = Sequence[tuple[int, Picture]]  # pictures with their places in the file
Fitted = tuple[NDArray[np.uint8] | str, str]  # pixels, or why there are none, and a hash of the source


def fit(image: Image.Image, place: int, recipe: Recipe, seed: int) -> Image.Image:
    """An image as the recipe wants it, `size` pixels a side; `place` and `seed` decide a random crop."""
    size = recipe.size
    if recipe.way == "centre":
        return centre(with_short_side(image, recipe.short), size)
    if recipe.way == "crop":
        return crop(image, size, np.random.default_rng([seed, place]))
    if recipe.ready:
        if min(image.size) < size:
            raise ValueError(f"the image is of {image.width} x {image.height} pixels, less than {size} a side")
        return centre(image, size)
    return resized(image, (size, size), recipe.way)


def fit_chunk(chunk: Chunk, recipe: Recipe, seed: int) -> list[Fitted]:
    """Pictures with their places in the file, fitted, each with a hash of what it was."""
    fitted: list[Fitted] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks about transparency and EXIF
        for place, picture in chunk:
            data = picture.read_bytes() if isinstance(picture, Path) else picture
            raw = data if isinstance(data, bytes) else np.ascontiguousarray(data).data
            digest = hashlib.sha256(raw).hexdigest()[:16]
            try:
                fitted.append((np.asarray(fit(decode(data), place, recipe, seed)), digest))
            except UNREADABLE as error:
                fitted.append((explain_unreadable(error), digest))
    return fitted


def in_order(work: Callable[[Task], Result], tasks: Iterable[Task], workers: int) -> Iterator[Result]:
    """Results in the order of their tasks, from several processes; a few tasks at a time are in memory."""
    if workers < 2:
        yield from map(work, tasks)
        return
    with ProcessPoolExecutor(workers, get_context("forkserver")) as pool:
        waiting: deque[Future[Result]] = deque()
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def chosen(labels: Sequence[int], count: int, recipe: Recipe, seed: int) -> NDArray[np.int64]:
    """Places of a split's images: all of them, or a seeded share of each class."""
    rows = np.arange(count)
    if not recipe.test_share:
        return rows
    from sklearn.model_selection import train_test_split

    parts = train_test_split(rows, test_size=recipe.test_share, stratify=labels, random_state=seed)
    return np.sort(parts[recipe.split == "test"])


def of_classes(listing: Listing, classes: Sequence[str], where: str) -> Listing:
    """The images of these classes alone, numbered in this order; raises ValueError for a class without images."""
    if unknown := sorted(set(classes) - set(listing.classes)):
        raise ValueError(f"{where}: there is no class {unknown[0]}, only {', '.join(listing.classes[:20]) or 'none'}")
    number = {name: index for index, name in enumerate(classes)}
    rows = [row for row, label in enumerate(listing.labels) if label != NONE and listing.classes[label] in number]
    labels = [number[listing.classes[listing.labels[row]]] for row in rows]
    return Listing([listing.names[row] for row in rows], lambda place: listing.read(rows[place]), labels, list(classes))


def check_labels(listing: Listing, labelled: bool, where: str) -> Listing:
    """A listing in which all images have labels, or none has; raises ValueError where they must have them."""
    without = [row for row, label in enumerate(listing.labels or [NONE] * len(listing.names)) if label == NONE]
    if without and labelled:
        raise ValueError(
            f"{where}: {len(without)} of {len(listing.names)} images have no label, the first is "
            f"{listing.names[without[0]]}"
        )
    return Listing(listing.names, listing.read) if without else listing


def labels_as_in(train: Description, listing: Listing, where: str) -> list[int]:
    """A test split's labels as indices into the training split's classes; raises ValueError for an unknown class."""
    number = {name: index for index, name in enumerate(train.classes)}
    if unknown := sorted(set(listing.classes) - set(number)):
        raise ValueError(
            f"{where}: labels out of range, there are no training images of class {unknown[0]} but of "
            f"{', '.join(train.classes[:20])}"
        )
    return [number[listing.classes[label]] for label in listing.labels]


def hash_of(path: Path) -> str:
    """SHA-256 of a file, or of the names and sizes of all files in a folder."""
    if path.is_dir():
        told = "\n".join(f"{name} {(path / name).stat().st_size}" for name in names_below(path))
        return hashlib.sha256(told.encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Taken:
    """What became of the images of a split, filled while they are written."""

    rows: list[int] = field(default_factory=list)  # places of the images that were kept
    hashes: list[str] = field(default_factory=list)  # of their sources, 16 hexadecimal digits each
    broken: list[str] = field(default_factory=list)  # names of those that could not be read
    reasons: list[str] = field(default_factory=list)  # of each of them

    def check(self, name: str, train: Description | None, own: bool) -> None:
        """Raise ValueError where too many were broken or test images are among the training images."""
        count = len(self.rows) + len(self.broken)
        if len(self.broken) > BROKEN * count:
            raise ValueError(
                f"{name}: {len(self.broken)} of {count} images cannot be read, the first is {self.broken[0]}: "
                f"it is {self.reasons[0]}; "
                f"at most {BROKEN:.0%} may be skipped"
            )
        if self.broken:
            first = [f"{image} is {reason}" for image, reason in zip(self.broken[:5], self.reasons, strict=False)]
            log.warning("%s: %d images cannot be read and were skipped: %s", name, len(self.broken), "; ".join(first))
        if train and (shared := len(set(self.hashes) & set(train.made["hashes"]))):
            told = f"{name}: {shared} test images are also training images, byte for byte"
            if own:
                raise ValueError(f"{told}; remove them from one of the two")
            log.warning(told)


def batches(
    listing: Listing,
    rows: Sequence[int],
    fit_all: Callable[[Chunk], list[Fitted]],
    workers: int,
    taken: Taken,
    bar: "tqdm[NoReturn]",
) -> Iterator[Images]:
    """The images in these places of a listing, fitted, in batches; what becomes of them goes into `taken`."""
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    tasks = ([(row, listing.read(row)) for row in chunk] for chunk in chunks)
    for chunk, result in zip(chunks, in_order(fit_all, tasks, workers), strict=True):
        kept = []
        for row, (pixels, digest) in zip(chunk, result, strict=True):
            if isinstance(pixels, str):
                taken.broken.append(listing.names[row])
                taken.reasons.append(pixels)
            else:
                kept.append(pixels)
                taken.rows.append(row)
                taken.hashes.append(digest)
        bar.update(len(chunk))
        if kept:
            yield np.stack(kept)


def prepare(
    output: Path, files: Sequence[Path], recipe: Recipe, seed: int = 0, train: Path | None = None, workers: int = 1
) -> None:
    """Write the split `output` (.npy, and .json) of the images in `files`, by its recipe.

    `train` is the prepared training split that an ID test split belongs to. Raises FileNotFoundError where files are
    missing, ValueError where more than 1 % of the images are unreadable or, in the user's own data, where a test
    image is a training image byte for byte.
    """
    name = f"{output.parent.name} {output.stem}"
    if not files and recipe.obtain:
        raise FileNotFoundError(f"{output.parent.name}: {recipe.obtain}")
    known, taken = description_of(train) if train else None, Taken()
    fit_all = partial(fit_chunk, recipe=recipe, seed=seed)
    with READERS[recipe.reader](files, recipe) as listing:
        listing = of_classes(listing, recipe.classes, name) if recipe.classes else listing
        listing = check_labels(listing, recipe.labelled, name)
        labels = labels_as_in(known, listing, name) if known else listing.labels
        rows = chosen(listing.labels, len(listing.names), recipe, seed).tolist()
        with tqdm(total=len(rows), desc=name, unit="image") as bar, replacing(output) as partly:
            written = write_images(partly, batches(listing, rows, fit_all, workers, taken, bar))
            taken.check(name, known, recipe.own)  # before the array takes its place
        classes = known.classes if known else listing.classes
    made = {"recipe": asdict(recipe), "seed": seed, "sources": {path.name: hash_of(path) for path in files}}
    made |= {"broken": taken.broken, "hashes": taken.hashes}
    kept_labels = [labels[row] for row in taken.rows] if labels else []
    write_description(output, written, kept_labels, classes, made, recipe.about)
