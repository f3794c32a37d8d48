"""Read lists and tables that name images and their labels: text, CSV, or columns from any other source."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from fig.data.archives import open_archive, read_file
from fig.data.catalogue import Recipe
from fig.data.listing import Listing, list_members, number_labels, place_below

IMAGE_COLUMNS = ("path", "image", "file", "filename", "image_path", "file_path", "filepath", "file_name", "img")
LABEL_COLUMNS = ("label", "class", "target", "labels", "class_name", "category")


def split_files(files: Sequence[Path]) -> tuple[Path, Path]:
    """Return the folder or archive of the images, and the table: the last file; a single file is in that folder."""
    return (files[0], files[-1]) if len(files) > 1 else (files[0].parent, files[0])


@contextmanager
def list_named(
    files: Sequence[Path], under: str, names: Sequence[object], labels: Sequence[int], classes: Sequence[str]
) -> Iterator[Listing]:
    """The images that a table names, in its order.

    Raises ValueError if the table is empty or a row names no image, FileNotFoundError if images are missing; both
    give the count and the first one.
    """
    root, table = split_files(files)
    if not names:
        raise ValueError(f"{table} names no image")
    stated = [str(name).strip() for name in names if name]
    if len(stated) < len(names):
        first = next(row for row, name in enumerate(names, 1) if not name)
        raise ValueError(
            f"{table}: {len(names) - len(stated)} of {len(names)} rows name no image, the first is row {first}"
        )
    placed = place_below(root, under, stated, table)
    with open_archive(root, placed) as archive:
        missing = [name for name in placed if name not in archive.members]
        if missing:
            missed = f"{len(missing)} of {len(names)} images that {table} names are not in {root}"
            raise FileNotFoundError(f"{missed}, the first is {missing[0]}")
        yield list_members(archive, placed, labels, classes)


@contextmanager
def image_list(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """Read an image list in OpenOOD's format: a line is `relative/path label`; a list may have no labels at all.

    -1 means no label. In a list with labels, a path may contain spaces.
    """
    lines = [line.strip() for line in read_text(files[-1]).split("\n") if line.strip()]
    cut = [line.rsplit(maxsplit=1) for line in lines]
    labelled = any(len(words) > 1 for words in cut)
    names = [words[0] for words in cut] if labelled else lines
    labels = [words[-1] if len(words) > 1 else None for words in cut] if labelled else []
    with list_named(files, recipe.under, names, *number_labels(labels)) as listing:
        yield listing


@contextmanager
def csv_table(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """A table whose first row names the columns: separated by commas or semicolons (.csv) or tabs (.tsv)."""
    table = files[-1]
    text = read_text(table)
    head = text.partition("\n")[0]
    delimiter = "\t" if table.suffix == ".tsv" else ";" if ";" in head and "," not in head else ","
    try:
        lines = [line for line in csv.reader(StringIO(text, newline=""), delimiter=delimiter) if line]
    except csv.Error as error:
        raise ValueError(f"{table} is no table: {error}") from None
    columns, rows = lines[0] if lines else [], lines[1:]
    if wrong := [number for number, row in enumerate(rows, 1) if len(row) != len(columns)]:
        count = f"{len(wrong)} of {len(rows)} rows have more or fewer values than there are columns"
        raise ValueError(f"{table}: {count} ({len(columns)}), the first is row {wrong[0]}")
    image = columns.index(find_image_column(recipe, columns, table))
    label = find_label_column(recipe, columns, table)
    labels = [row[columns.index(label)] for row in rows] if label else []
    with list_named(files, recipe.under, [row[image] for row in rows], *number_labels(labels)) as listing:
        yield listing


def find_image_column(recipe: Recipe, columns: Sequence[str], where: Path) -> str:
    """Return the column with the images; raises ValueError if no column has a usual name."""
    if found := find_column(recipe.image_column, columns, IMAGE_COLUMNS, where):
        return found
    raise ValueError(f"{explain_columns(IMAGE_COLUMNS, columns, where)}: state image_column")


def find_label_column(recipe: Recipe, columns: Sequence[str], where: Path) -> str:
    """Return the column with the labels, or "" if no column has a usual name; ValueError if labels are needed."""
    found = find_column(recipe.label_column, columns, LABEL_COLUMNS, where)
    if recipe.labelled and not found:
        raise ValueError(f"{explain_columns(LABEL_COLUMNS, columns, where)}: state label_column")
    return found


def explain_columns(usual: Sequence[str], columns: Sequence[str], where: Path) -> str:
    """Return the error for a table without a column of a usual name."""
    return f"{where} has no column called {', '.join(usual[:-1])} or {usual[-1]}, only {', '.join(columns)}"


def find_column(stated: str, columns: Sequence[str], usual: Sequence[str], where: Path) -> str:
    """Return the stated column, else the first with a usual name in any case; empty if no column has one."""
    if stated and stated not in columns:
        raise ValueError(f"{where} has no column {stated}, only {', '.join(columns)}")
    by_name = {column.strip().lower(): column for column in reversed(columns)}
    return stated or next((by_name[name] for name in usual if name in by_name), "")


def read_text(path: Path) -> str:
    """Return the text of a file; raises ValueError if it is not text in UTF-8."""
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8: save it as that") from None
    if "\0" in text:
        raise ValueError(f"{path} is no text in UTF-8, since it holds zero bytes: save it as that")
    return text
