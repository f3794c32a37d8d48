"""A listing: the images of a split with their labels, not yet read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fig.data.archives import Archive

Picture = bytes | Path | NDArray[np.uint8]  # an encoded image, a file with one, or pixels (height, width[, 3 or 4])
MOST_CLASSES = 100_000
NONE = -1  # in the place of a label: the image has none


@dataclass(frozen=True)
class Listing:
    """The images of a split, not yet read."""

    names: Sequence[str]  # for messages
    read: Callable[[int], Picture]  # fastest in increasing order
    labels: list[int] = field(default_factory=list)  # one for each image, or NONE; empty for images without labels
    classes: list[str] = field(default_factory=list)


def check_classes(count: int, where: object) -> None:
    """Raise ValueError if there would be too many classes, as for a column that holds numbers and not classes."""
    if count > MOST_CLASSES:
        raise ValueError(f"{where}: labels out of range, there would be {count} classes, above {MOST_CLASSES}")


def number_names(names: Sequence[str]) -> tuple[list[int], list[str]]:
    """Number the classes that folders name: return an index for each image, and the classes in alphabetical order."""
    classes = sorted(set(names))
    number = {name: index for index, name in enumerate(classes)}
    return [number[name] for name in names], classes


def number_labels(labels: Iterable[object]) -> tuple[list[int], list[str]]:
    """Number the labels of a list or table: an index for each, and the names of the classes.

    Each label is a class: whole numbers in numerical order, otherwise texts in alphabetical order. Missing labels,
    empty texts and -1 become NONE.
    """
    texts = [write_label(label) for label in labels]
    classes = sorted({text for text in texts if text})
    if all(text.removeprefix("-").isdecimal() for text in classes):
        classes.sort(key=int)
    number = {name: index for index, name in enumerate(classes)} | {"": NONE}
    return [number[text] for text in texts], classes


def write_label(label: object) -> str:
    """A label as text: 3.0 as 3, since a column with gaps holds no integers; empty where it is missing or -1."""
    if label is None or label != label:  # NaN
        return ""
    text = str(int(label)) if isinstance(label, float) and label.is_integer() else str(label).strip()
    return "" if text == str(NONE) else text


def list_members(
    archive: Archive, names: Sequence[str], labels: Sequence[int] = (), classes: Sequence[str] = ()
) -> Listing:
    """Make a listing of members of an archive."""
    return Listing(names, lambda row: archive.picture(names[row]), list(labels), list(classes))


def place_below(root: Path, under: str, names: Sequence[str], where: Path) -> list[str]:
    """The names that a table states as names within `root`; `under` is the folder inside that they start from.

    An absolute name is taken where it lies in `root`. Raises ValueError naming the first that leads out of `root`, and
    how many do.
    """
    inside = PurePosixPath(root.absolute())
    placed: list[str] = []
    outside: list[str] = []
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute():
            path = path.relative_to(inside) if path.is_relative_to(inside) else path
        else:
            path = PurePosixPath(under.strip("/")) / path
        if path.is_absolute() or ".." in path.parts:
            outside.append(name)
        placed.append(str(path))
    if outside:
        raise ValueError(
            f"{where} names {len(outside)} images outside of {root}, the first is {outside[0]}: state the folder that "
            f"holds all images as path, and {where.name} as labels"
        )
    return placed
