"""Publishers' formats: each reader lists the images of a split, and gives those that are wanted one by one.

A reader takes the files and the recipe, whose split, folder inside and columns it follows. What it gives is as the
publisher encoded it, or pixels where there is no encoding.
"""

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import StringIO
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fig.data.archives import Archive, open_archive
from fig.data.arrow import parquet_table, saved_dataset
from fig.data.catalogue import Recipe
from fig.data.listing import Listing, check_classes, list_members, number_labels, number_names
from fig.data.loading import load_array, load_arrays, load_matlab
from fig.data.resample import SAFE
from fig.data.tables import csv_table, image_list, read_text
from fig.files import explaining
from fig.intact import DOWNLOAD, explain_damage

LARGEST_IMAGE = 2 * SAFE  # pixels, as for Pillow
DIGITS = frozenset(range(1, 11))  # as SVHN numbers them
SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")

Reader = Callable[[Sequence[Path], Recipe], AbstractContextManager[Listing]]


def images_below(archive: Archive, under: str) -> list[str]:
    """Return the names of the image files in a folder of an archive; raises FileNotFoundError if it has no images."""
    below = f"{under.strip('/')}/" if under else ""
    found = [name for name in archive.ending(*SUFFIXES) if name.startswith(below)]
    if not found:
        where = f"{archive.path} below {under}" if under else str(archive.path)
        raise FileNotFoundError(f"there are no images ({', '.join(SUFFIXES)}) in {where}")
    return found


@contextmanager
def images(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """Every image in a folder or archive, without labels."""
    with open_archive(files[0]) as archive:
        yield list_members(archive, images_below(archive, recipe.under))


@contextmanager
def classes(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """Images in class folders: <under>/<class>/.../<image>; raises ValueError where an image lies in none."""
    with open_archive(files[0]) as archive:
        names = images_below(archive, recipe.under)
        below = [name[len(recipe.under.strip("/")) :].lstrip("/") if recipe.under else name for name in names]
        if loose := next((name for name in below if "/" not in name), None):
            raise ValueError(f"{archive.path}: {loose} lies in no class folder, as <class>/<image>")
        yield list_members(archive, names, *number_names([name.split("/")[0] for name in below]))


@contextmanager
def arrays(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """Pixels in a `.npy` file, with labels in a second one, or `images` and `labels` in a `.npz` file.

    Images are uint8 (N, height, width) or (N, height, width, 1, 3 or 4), of which 4 are RGBA. Labels are integers from
    0 up, each the number of its class, or texts. Raises ValueError naming the file and what is wrong with it. Pickles
    are not loaded.
    """
    if files[0].suffix == ".npz":
        held = load_arrays(files[0], ("images", "labels"))
    else:
        held = {"images": load_array(files[0])}
    if len(files) > 1:
        held["labels"] = load_array(files[1])
    pixels = cast(NDArray[np.uint8], held["images"])
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or pixels.shape[3:] not in ((), (1,), (3,), (4,)):
        found = f"{pixels.dtype} {pixels.shape}"
        hint = ": move the channels to the end" if pixels.ndim == 4 and pixels.shape[1] in (1, 3, 4) else ""
        raise ValueError(f"{files[0]} holds {found}, not uint8 images (N, height, width[, 1, 3 or 4]){hint}")
    if not pixels.size:
        raise ValueError(f"{files[0]} holds {pixels.shape}: there are no images")
    if prod(pixels.shape[1:3]) > LARGEST_IMAGE:
        raise ValueError(f"{files[0]} holds {pixels.shape}: of an image {LARGEST_IMAGE} pixels are read at most")
    labels, classes = number_array(held.get("labels", np.zeros(0, int)), len(pixels), files[-1])
    names = [f"{files[0]}[{row}]" for row in range(len(pixels))]
    yield Listing(names, lambda row: squeeze(pixels[row]), labels, classes)


def number_array(labels: NDArray[np.int64], count: int, where: Path) -> tuple[list[int], list[str]]:
    """Number an array of labels of any type: integers are class numbers, texts are class names."""
    if not labels.size:
        return [], []
    if labels.dtype.kind == "U" and labels.shape == (count,):
        return number_labels(labels.tolist())
    if labels.dtype.kind not in "iu" or labels.shape != (count,) or labels.min() < 0:
        what = f"{labels.dtype} {labels.shape}" + (f" from {labels.min()}" if labels.dtype.kind in "iuf" else "")
        raise ValueError(
            f"{where}: labels out of range, {what}: one integer from 0 up, or one text, is needed for each of the "
            f"{count} images"
        )
    check_classes(int(labels.max()) + 1, where)
    return labels.tolist(), [str(label) for label in range(int(labels.max()) + 1)]


def squeeze(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pixels (height, width, 1) as (height, width), and others unchanged."""
    return pixels[..., 0] if pixels.shape[2:] == (1,) else pixels


def table(files: Sequence[Path], recipe: Recipe) -> AbstractContextManager[Listing]:
    """A table of images and labels, in Parquet or as text."""
    return (parquet_table if files[-1].suffix == ".parquet" else csv_table)(files, recipe)


@contextmanager
def svhn(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """SVHN's MATLAB file of cropped digits, X (32, 32, 3, N) and y (N, 1), in which a 10 is the digit 0."""
    held = load_matlab(files[0], ("X", "y"))
    pixels, labels = held["X"], held["y"].reshape(-1)
    if pixels.dtype != np.uint8 or pixels.shape != (32, 32, 3, len(labels)) or not set(labels.tolist()) <= DIGITS:
        raise ValueError(
            f"{files[0]} holds X {pixels.dtype} {pixels.shape} and {len(labels)} labels y, not images (32, 32, 3, N) "
            "and N labels from 1 to 10: is it the right file?"
        )
    labels = labels.astype(int) % 10
    names = [f"{files[0]}[{row}]" for row in range(len(labels))]
    yield Listing(names, lambda row: pixels[..., row], labels.tolist(), [str(digit) for digit in range(10)])


def records(archive: Archive, parts: Sequence[str], label_bytes: int, names: str) -> Listing:
    """CIFAR's binary records: label bytes, of which the last counts, then 3 x 32 x 32 pixels."""
    record = np.dtype([("labels", np.uint8, (label_bytes,)), ("pixels", np.uint8, (3, 32, 32))])
    held = [archive.read(archive.only(f"/{part}")) for part in parts]
    if broken := next((part for part, data in zip(parts, held, strict=True) if len(data) % record.itemsize), None):
        raise ValueError(f"{archive.path}: {broken} does not consist of records of {record.itemsize} bytes")
    rows = np.concatenate([np.frombuffer(data, record) for data in held])
    classes = archive.read(archive.only(f"/{names}")).decode().split()
    labels = rows["labels"][:, -1].tolist()
    if labels and max(labels) >= len(classes):
        raise ValueError(f"{archive.path}: labels out of range, {max(labels)} of {len(classes)} classes: {DOWNLOAD}")
    places = [f"{archive.path}[{row}]" for row in range(len(rows))]
    return Listing(places, lambda row: rows["pixels"][row].transpose(1, 2, 0), labels, classes)


@contextmanager
def cifar10(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """CIFAR10's binary version, which unlike the others holds no pickles."""
    parts = [f"data_batch_{number}.bin" for number in range(1, 6)] if recipe.split == "train" else ["test_batch.bin"]
    with open_archive(files[0]) as archive:
        yield records(archive, parts, 1, "batches.meta.txt")


@contextmanager
def cifar100(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """CIFAR100's binary version, with its fine labels."""
    with open_archive(files[0]) as archive:
        yield records(archive, [f"{recipe.split}.bin"], 2, "fine_label_names.txt")


@contextmanager
def lmdb(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """LSUN's LMDB of encoded images, in a folder or a zip file."""
    import lmdb

    place = files[0].parent
    with open_archive(files[0]) as archive, TemporaryFile(dir=place) as file:  # nameless: nothing is left of it
        with explaining(place / "data.mdb"):  # LMDB maps a file: it cannot be read inside an archive
            archive.copy(archive.only("data.mdb"), file)
            file.flush()
        named = f"/proc/self/fd/{file.fileno()}"
        with explain_damage(files[0], "LMDB", DOWNLOAD):
            database = lmdb.open(named, subdir=False, readonly=True, lock=False)
        with database, database.begin() as transaction:
            stated = (database.info()["last_pgno"] + 1) * database.stat()["psize"]
            if (size := os.fstat(file.fileno()).st_size) < stated:  # LMDB would end the process
                raise ValueError(f"{files[0]} is truncated: its data.mdb has {size} of {stated} bytes: {DOWNLOAD}")
            with explain_damage(files[0], "LMDB", DOWNLOAD):
                keys = list(transaction.cursor().iternext(values=False))
            names = [key.decode(errors="backslashreplace") for key in keys]
            yield Listing(names, lambda row: cast(bytes, transaction.get(keys[row])))  # a key of it has a value


@contextmanager
def flowers(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """Oxford Flowers 102's test images: an archive of jpg/image_<number>.jpg, and setid.mat with their numbers."""
    numbers = load_matlab(files[1], ("tstid",))["tstid"].reshape(-1)
    with open_archive(files[0]) as archive:
        yield list_members(archive, [f"jpg/image_{int(number):05d}.jpg" for number in sorted(numbers.tolist())])


@contextmanager
def dtd(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """DTD's test images of the first of its ten splits."""
    with open_archive(files[0]) as archive:
        lines = archive.read("dtd/labels/test1.txt").decode().split()
        wanted = {f"dtd/images/{line}" for line in lines}
        yield list_members(archive, [name for name in archive.members if name in wanted])


@contextmanager
def miniimagenet(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """MiniImageNet out of ImageNet's class folders, by the split lists train.csv, val.csv and test.csv.

    A list's line n0153282900000005.jpg,n01532829 means the fifth image of that class, in the order of the numbers in
    ImageNet's names.
    """
    with open_archive(files[0]) as archive:
        by_class: dict[str, list[str]] = {}
        for name in images_below(archive, recipe.under):
            by_class.setdefault(name.split("/")[-2], []).append(name)
        for names in by_class.values():
            names.sort(key=lambda name: int(Path(name).stem.rpartition("_")[2]))
        lists = sorted(files[1].glob("*.csv"))
        rows = [row for path in lists for row in csv.DictReader(StringIO(read_text(path), newline=""))]
        if not rows:
            raise FileNotFoundError(f"{files[1]} holds no split lists (train.csv, val.csv, test.csv)")
        if any(not row.get("label") or not row.get("filename") for row in rows):
            raise ValueError(f"{files[1]}: a row of the split lists has no filename or no label")
        if missing := next((row["label"] for row in rows if row["label"] not in by_class), None):
            raise FileNotFoundError(f"{files[0]} holds no class folder {missing}, which the split lists name")
        with explain_damage(files[1], "folder of MiniImageNet's split lists", DOWNLOAD):
            chosen = [by_class[row["label"]][int(Path(row["filename"]).stem[len(row["label"]) :]) - 1] for row in rows]
        yield list_members(archive, chosen, *number_names([row["label"] for row in rows]))


@contextmanager
def packaged_digits(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """scikit-learn's handwritten digits."""
    from fig.data.packaged import digits  # scikit-learn takes seconds to import

    pixels, labels = digits()
    names = [f"digit {row}" for row in range(len(labels))]
    yield Listing(names, lambda row: pixels[row], labels, [str(digit) for digit in range(10)])


@contextmanager
def packaged_photographs(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """Windows of the photographs that scikit-learn and scikit-image ship."""
    from fig.data.packaged import windows

    cut = windows()
    yield Listing([f"window {row}" for row in range(len(cut))], cut.__getitem__)


READERS: dict[str, Reader] = {
    "images": images,
    "classes": classes,
    "arrays": arrays,
    "list": image_list,
    "table": table,
    "huggingface": saved_dataset,
    "svhn": svhn,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "lmdb": lmdb,
    "flowers": flowers,
    "dtd": dtd,
    "miniimagenet": miniimagenet,
    "digits": packaged_digits,
    "photographs": packaged_photographs,
}
