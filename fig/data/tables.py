"""Lists and tables that name images and their labels."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fig.data.archives import opened
from fig.data.catalogue import Recipe
from fig.data.listing import Listing, list_members, number_labels, place_below
from fig.extras import import_extra


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


PATHS = ("path", "image", "image_path", "file", "file_name", "filename")
LABELS = ("label", "class", "target", "category")


@contextmanager
def table(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """A CSV or Parquet table with a column of paths (PATHS) and, where there are labels, one of them (LABELS).

    Raises ValueError naming its columns where none holds paths.
    """
    path = files[-1]
    columns = read_parquet(path) if path.suffix == ".parquet" else read_csv(path)
    named = {name.strip().lower(): name for name in columns}
    paths, labels = ([columns[named[name]] for name in names if name in named] for names in (PATHS, LABELS))
    if not paths:
        known = f"its columns are {', '.join(columns) or 'none'}"
        raise ValueError(f"{path} has no column of paths ({', '.join(PATHS)}): {known}")
    with list_named(files, recipe.under, [str(name) for name in paths[0]], labels[0] if labels else []) as listing:
        yield listing


def read_csv(path: Path) -> dict[str, list[object]]:
    """The columns of a CSV file, as texts; raises ValueError where a row has more or fewer values than the header."""
    header, *rows = csv.reader(io.StringIO(read_text(path))) or [[]]
    if wrong := next((number for number, row in enumerate(rows, 2) if row and len(row) != len(header)), 0):
        raise ValueError(f"{path}: line {wrong} has {len(rows[wrong - 2])} values, but there are {len(header)} columns")
    kept = [row for row in rows if row]
    return {name: [row[place] for row in kept] for place, name in enumerate(header)}


def read_parquet(path: Path) -> dict[str, list[object]]:
    """The columns of a Parquet file, by the library of the extra `data`."""
    import_extra("pyarrow")
    from pyarrow.parquet import read_table

    columns: dict[str, list[object]] = read_table(path).to_pydict()
    return columns


@contextmanager
def huggingface(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """A folder that Hugging Face's `save_to_disk` wrote, of a data set or of several by split.

    Images come from the column of images, labels from the column of classes or, without one, from one of LABELS.
    Raises ValueError naming what it has where a split or a column of images is missing.
    """
    datasets = import_extra("datasets")
    held = datasets.load_from_disk(str(files[0]))
    if isinstance(held, dict):
        if recipe.split not in held:
            raise ValueError(f"{files[0]} has no split {recipe.split}, only {', '.join(held)}")
        held = held[recipe.split]
    pictures = [name for name, kind in held.features.items() if isinstance(kind, datasets.Image)]
    known = [name for name, kind in held.features.items() if isinstance(kind, datasets.ClassLabel)]
    found = known or [name for name in held.features if name.lower() in LABELS]
    if not pictures:
        raise ValueError(f"{files[0]} has no column of images: its columns are {', '.join(held.features)}")
    encoded = held.select_columns(pictures[:1]).cast_column(pictures[0], datasets.Image(decode=False))

    def read(row: int) -> bytes | Path:
        stored = encoded[row][pictures[0]]
        whole: bytes | None = stored["bytes"]
        return Path(stored["path"]) if whole is None else whole

    labels, classes = number_labels(held[found[0]]) if found else ([], [])
    if known:  # in the order that their publisher gave them
        labels, classes = list(held[known[0]]), list(held.features[known[0]].names)
    yield Listing([f"{files[0]}[{row}]" for row in range(len(held))], read, labels, classes)


def read_text(path: Path) -> str:
    """The text of a file; raises ValueError where it is none in UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8") from None
