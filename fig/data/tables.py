"""Lists and tables that name images and their labels."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fig.data.archives import opened
from fig.data.catalogue import Recipe
from fig.data.listing import Listing, list_members, number_labels, place_below


def split_files(files: Sequence[Path]) -> tuple[Path, Path]:
    """The folder or archive of the images, and the table: the last file; alone, it lies in the folder."""
    return (files[0], files[-1]) if len(files) > 1 else (files[0].parent, files[0])


@contextmanager
def list_named(files: Sequence[Path], under: str, names: Sequence[str], labels: Sequence[object]) -> Iterator[Listing]:
    """The images that a table names, in its order.

    Raises FileNotFoundError naming the first image that is not there, and how many are not.
    """
    root, table = split_files(files)
    if not names:
        raise ValueError(f"{table} names no image")
    placed = place_below(root, under, names, table)
    with opened(root, placed) as archive:
        missing = [name for name in placed if name not in archive.members]
        if missing:
            told = f"{len(missing)} of {len(names)} images that {table} names are not in {root}"
            raise FileNotFoundError(f"{told}, the first is {missing[0]}")
        yield list_members(archive, placed, *number_labels(labels))


@contextmanager
def image_list(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """An image list as OpenOOD has them: a line is `relative/path label`; all labels may be missing.

    -1 is no label. A path may hold spaces where there are labels.
    """
    lines = [line for line in read_text(files[-1]).split("\n") if line.strip()]
    cut = [line.rsplit(maxsplit=1) for line in lines]
    if all(len(words) < 2 for words in cut):
        names, labels = [line.strip() for line in lines], []
    else:
        names, labels = [words[0].strip() for words in cut], [words[1] if len(words) > 1 else "" for words in cut]
    with list_named(files, recipe.under, names, labels) as listing:
        yield listing


def read_text(path: Path) -> str:
    """The text of a file; raises ValueError where it is none in UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8") from None
