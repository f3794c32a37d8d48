"""Make a prepared split out of publishers' files: decoded in parallel, in bounded memory, in the order of the files."""

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from fig.data.archives import names_below, read_file
from fig.data.arrays import Description, Images, describe, write_images
from fig.data.catalogue import NAMING, Recipe
from fig.data.decoding import RefusedError, begin, explain_unreadable, finish, is_deep
from fig.data.inspection import Taken, check_labels, count_classes, labels_as_in, report_classes
from fig.data.listing import NONE, Listing, Picture
from fig.data.readers import READERS
from fig.data.resample import centre, crop, resized, with_short_side
from fig.files import replacing

CHUNK = 128  # images a task: enough that sending them costs little, few enough for bounded memory
HELD = 1 << 26  # bytes of encoded images a task, unless it is of one image
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # what Pillow raises for bad images

Task = TypeVar("Task")
Result = TypeVar("Result")
Chunk = Sequence[tuple[int, Picture]]  # pictures with their places in the file


class Fitted(NamedTuple):
    """What became of a picture."""

    place: int
    pixels: NDArray[np.uint8] | str  # or the reason why they are missing
    digest: str = ""  # of the source
    deep: bool = False  # whether it was of 16 bits a value


def fit(image: Image.Image, place: int, recipe: Recipe, seed: int) -> Image.Image:
    """An image as the recipe wants it, `size` pixels a side; `place` and `seed` decide a random crop."""
    size = recipe.size
    if recipe.way == "centre":
        return centre(with_short_side(image, recipe.short), size)
    if recipe.way == "crop":
        return crop(image, size, np.random.default_rng([seed, place]))
    if recipe.ready:
        if min(image.size) < size:
            raise RefusedError(f"smaller than {size} pixels a side")
        return centre(image, size)
    return resized(image, (size, size), recipe.way)


def fit_chunk(chunk: Chunk, recipe: Recipe, seed: int) -> list[Fitted]:
    """Pictures with their places in the file, fitted, each with a hash of what it was."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks about transparency and EXIF
        return [fit_picture(place, picture, recipe, seed) for place, picture in chunk]


def fit_picture(place: int, picture: Picture, recipe: Recipe, seed: int) -> Fitted:
    """A picture fitted, or why it is not; raises OSError where a file cannot be read."""
    if isinstance(picture, Path) and not picture.is_file():
        return Fitted(place, "no file")  # but a pipe, a device or a broken link
    try:
        data = read_file(picture) if isinstance(picture, Path) else picture
    except ValueError:
        return Fitted(place, "too large")
    raw = data if isinstance(data, bytes) else np.ascontiguousarray(data).data
    digest = hashlib.sha256(raw).hexdigest()[:16]
    try:
        image = begin(data)
        deep = is_deep(image)
        return Fitted(place, np.asarray(fit(finish(image), place, recipe, seed)), digest, deep)
    except UNREADABLE as error:
        return Fitted(place, explain_unreadable(error))


def in_order(work: Callable[[Task], Result], tasks: Iterable[Task], workers: int) -> Iterator[Result]:
    """Results in the order of their tasks, from several processes; a few tasks at a time are in memory.

    Raises RuntimeError where one of the processes is killed.
    """
    if workers < 2:
        yield from map(work, tasks)
        return
    try:
        with ProcessPoolExecutor(workers, get_context("forkserver")) as pool:
            waiting: deque[Future[Result]] = deque()
            for task in tasks:
                waiting.append(pool.submit(work, task))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    except BrokenProcessPool:
        raise RuntimeError(
            f"one of {workers} processes that decode images was killed, maybe for want of memory: state fewer workers"
        ) from None


def choose_images(labels: Sequence[int], count: int, recipe: Recipe, seed: int) -> NDArray[np.int64]:
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


def hash_of(path: Path) -> str:
    """SHA-256 of a file, or of the names and sizes of all files in a folder."""
    if path.is_dir():
        sizes = ((name, path / name) for name in names_below(path))
        listed = "\n".join(f"{name} {file.stat().st_size if file.exists() else 0}" for name, file in sizes)
        return hashlib.sha256(os.fsencode(listed)).hexdigest()  # a name may be no text
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cut_tasks(listing: Listing, rows: Sequence[int]) -> Iterator[Chunk]:
    """The pictures in these places of a listing, in tasks of CHUNK images or, where those are large, of HELD bytes."""
    task: list[tuple[int, Picture]] = []
    held = 0
    for row in rows:
        picture = listing.read(row)
        size = 0 if isinstance(picture, Path) else len(picture) if isinstance(picture, bytes) else picture.nbytes
        if task and (len(task) == CHUNK or held + size > HELD):
            yield task
            task, held = [], 0
        task.append((row, picture))
        held += size
    if task:
        yield task


def batches(
    listing: Listing,
    rows: Sequence[int],
    fit_all: Callable[[Chunk], list[Fitted]],
    workers: int,
    taken: Taken,
    bar: "tqdm[NoReturn]",
    check: Callable[[], None],
) -> Iterator[Images]:
    """The images in these places of a listing, fitted, in batches; what became of them, in `taken`, is checked last."""
    for result in in_order(fit_all, cut_tasks(listing, rows), workers):
        kept = []
        for row, pixels, digest, deep in result:
            if isinstance(pixels, str):
                taken.broken[listing.names[row]] = pixels
            else:
                kept.append(pixels)
                taken.rows.append(row)
                taken.hashes.append(digest)
                taken.deep.extend([listing.names[row]] * deep)
        bar.update(len(result))
        if kept:
            yield np.stack(kept)
    check()


def prepare(
    output: Path,
    files: Sequence[Path],
    recipe: Recipe,
    seed: int = 0,
    train: Description | None = None,
    workers: int = 1,
    progress: bool = True,
) -> None:
    """Write the split `output` (.npy, and .json) of the images in `files`, by its recipe.

    `train` describes the training split that an ID test split belongs to. Images of each class are counted and, where
    they are uneven, reported. Raises FileNotFoundError where files are missing, ValueError where more than 1 % of the
    images are unreadable, where labels are missing or unknown, or, in the user's own data, where a test image is a
    training image byte for byte.
    """
    name = f"{output.parent.name} {output.stem}"
    if not files and recipe.obtain:
        raise FileNotFoundError(f"{output.parent.name}: {recipe.obtain}")
    taken = Taken()
    fit_all = partial(fit_chunk, recipe=recipe, seed=seed)
    with READERS[recipe.reader](files, recipe) as listing:
        listing = of_classes(listing, recipe.classes, name) if recipe.classes else listing
        listing = check_labels(listing, recipe.labelled, name)
        labels = labels_as_in(train, listing, name) if train else listing.labels
        rows = choose_images(listing.labels, len(listing.names), recipe, seed).tolist()
        whole = [path for path in files if recipe.reader not in NAMING or not path.is_dir()]  # images have hashes below
        made = {"recipe": asdict(recipe), "seed": seed, "sources": {path.name: hash_of(path) for path in whole}}
        with (
            tqdm(total=len(rows), desc=name, unit="image", disable=not progress) as bar,
            replacing(output.with_suffix(".json")) as described,
            replacing(output) as partly,
        ):
            check = partial(taken.check, name, train, recipe.own)  # before the array takes its place
            written = write_images(partly, batches(listing, rows, fit_all, workers, taken, bar, check))
            classes = train.classes if train else listing.classes
            kept_labels = [labels[row] for row in taken.rows] if labels else []
            counts = count_classes(kept_labels, classes)
            made |= {"counts": counts, "broken": taken.broken, "hashes": taken.hashes}
            described.write_text(describe(output, written, kept_labels, classes, made, recipe.about))
    report_classes(counts, name)
