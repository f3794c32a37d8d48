"""Read complete files, and refuse damaged ones with a sentence that names the file and the remedy."""

import csv
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from fig.files import explain_failure
from fig.settings import Json, shorten

if TYPE_CHECKING:
    from numpy.typing import NDArray

AGAIN = "copy it again, or make it again"
DOWNLOAD = "copy or download it again"  # a publisher's file
MOST_JSON = 2**26  # bytes: labels of millions of images take a few of them
MOST_ARRAYS = 2**32  # bytes of an .npz, unpacked

Arrays = dict[str, "NDArray[Any]"]
Row = dict[str, str]  # by column
Kinds = Mapping[str, type | UnionType]  # of values, by dotted name
Layout = Mapping[str, tuple[str | int, ...]]  # shapes by name: lengths, or letters for any that are the same


@contextmanager
def explain_damage(path: Path, what: str, remedy: str) -> Iterator[None]:
    """Turn an error in the block into one that names the file, what is wrong with it, and the remedy."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no {path}: {remedy}") from error
    except Exception as error:  # libraries raise many types for damaged files
        if explain_failure(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} is no {what} that can be read ({reason}): {remedy}") from error


def read_object(path: Path, kinds: Kinds | None = None, remedy: str = AGAIN) -> dict[str, Json]:
    """Read the JSON object in a file, and check the kinds of values under dotted names.

    Raises ValueError if it is damaged or a value has another kind, FileNotFoundError if there is no file.
    """
    with explain_damage(path, "JSON object", remedy):
        if (size := path.stat().st_size) > MOST_JSON:
            raise ValueError(f"it has {size} bytes")
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict):
            raise ValueError(f"it is {shorten(found)}")
        for name, kind in (kinds or {}).items():
            held: Json = found
            for part in name.split("."):
                held = held.get(part) if isinstance(held, dict) else None
            if not isinstance(held, kind) or isinstance(held, bool):
                raise ValueError(f"its {name} is {shorten(held)}")
        return found


def read_rows(path: Path, numbers: Collection[str], texts: Collection[str], remedy: str = AGAIN) -> list[Row]:
    """Read the rows of a CSV file with the columns `texts` and `numbers`, which hold numbers or NaN.

    Raises ValueError if it is damaged or has no rows.
    """
    with explain_damage(path, "table", remedy), path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, strict=True))
        if not rows:
            raise ValueError("it has no rows")
        for row in rows:
            if lacking := [name for name in (*numbers, *texts) if row.get(name) is None]:
                raise ValueError(f"it lacks {lacking[0]}")
            for name in numbers:
                float(row[name])
        return rows


def read_arrays(path: Path, layout: Layout, remedy: str = AGAIN) -> Arrays:
    """Read the arrays of an .npz file, check those in the `layout` and their shapes, and run nothing in it.

    Raises ValueError if it is damaged, holds objects, has another layout, or would unpack to over MOST_ARRAYS.
    """
    import numpy as np  # the Snakefile's parse imports this module

    with explain_damage(path, "file of arrays", remedy):
        with ZipFile(path) as parts:
            if (size := sum(part.file_size for part in parts.infolist())) > MOST_ARRAYS:
                raise ValueError(f"it unpacks to {size} bytes")
        with np.load(path, allow_pickle=False) as file:
            found = dict(file)
        lengths: dict[str | int, int] = {}
        for name, wanted in layout.items():
            if name not in found:
                raise ValueError(f"it lacks {name}")
            shape = found[name].shape
            if len(shape) != len(wanted) or any(
                length != (each if isinstance(each, int) else lengths.setdefault(each, length))
                for length, each in zip(shape, wanted, strict=True)
            ):
                raise ValueError(f"{name} is of shape {shape}")
        return found


def read_scores(path: Path, remedy: str = AGAIN) -> Arrays:
    """Read the scores (N,) of the ID test images ("id") and of every OOD set in an .npz file.

    Raises ValueError if it is damaged, or a score is not finite.
    """
    import numpy as np

    found = read_arrays(path, {"id": ("N",)}, remedy)
    with explain_damage(path, "file of scores", remedy):
        for name, scores in found.items():
            if scores.ndim != 1 or scores.dtype.kind not in "fiu" or not len(scores) or not np.isfinite(scores).all():
                raise ValueError(f"{name} is not a finite number for each image")
    return found


def open_images(path: Path) -> "NDArray[Any]":
    """Open prepared images (N, h, w, 3), uint8, on disk until they are indexed; raises ValueError for other arrays."""
    import numpy as np

    with explain_damage(path, "array of images", "prepare it again"):
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        if found.dtype != np.uint8 or found.ndim != 4:
            raise ValueError(f"it holds {found.dtype} {found.shape}")
        return found
