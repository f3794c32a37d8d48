"""Files that are read whole or refused in a sentence that names the file and the remedy."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from fig.settings import Json, shorten

if TYPE_CHECKING:
    from numpy.typing import NDArray

AGAIN = "copy it again, or make it again"
MOST_JSON = 2**26  # bytes: labels of millions of images take a few of them
MOST_ARRAYS = 2**32  # bytes of an .npz, unpacked


def read_object(path: Path, remedy: str = AGAIN) -> dict[str, Json]:
    """The JSON object in a file; raises ValueError where it holds none, FileNotFoundError where there is no file."""
    try:
        if (size := path.stat().st_size) > MOST_JSON:
            raise ValueError(f"it has {size} bytes")
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON that can be read ({error}): {remedy}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} is {shorten(found)}, not a JSON object: {remedy}")
    return found


def read_text_of(path: Path, name: str, remedy: str = AGAIN) -> str:
    """The text that the JSON object in a file has under a name; raises ValueError where there is none."""
    if not isinstance(found := read_object(path, remedy).get(name), str):
        raise ValueError(f"{path}: {name} is {shorten(found)}, not a text: {remedy}")
    return found


def read_arrays(path: Path, remedy: str = AGAIN, names: Collection[str] = ()) -> dict[str, "NDArray[Any]"]:
    """The arrays of an .npz file, those of these `names` among them; nothing that it holds is run.

    Raises ValueError where it is damaged, lacks one of them, holds objects, or would unpack to more than MOST_ARRAYS.
    """
    import numpy as np  # the Snakefile's parse imports this module

    try:
        with ZipFile(path) as parts:
            if (size := sum(part.file_size for part in parts.infolist())) > MOST_ARRAYS:
                raise ValueError(f"it unpacks to {size} bytes")
        with np.load(path, allow_pickle=False) as file:
            found = dict(file)
        if lacking := [name for name in names if name not in found]:
            raise ValueError(f"it lacks {lacking[0]}")
        return found
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever numpy and zipfile raise for what is damaged
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} holds no arrays that can be read ({reason}): {remedy}") from error


def read_scores(path: Path, remedy: str = AGAIN, names: Collection[str] = ("id",)) -> dict[str, "NDArray[Any]"]:
    """The scores in an .npz file, (N,) numbers of each data set; raises ValueError where one is not finite."""
    import numpy as np

    found = read_arrays(path, remedy, names)
    for name, values in found.items():
        if values.ndim != 1 or values.dtype.kind != "f" or not len(values):
            what = f"{values.dtype} {values.shape}"
            raise ValueError(f"{path}: {name} is {what}, not a number for each image: {remedy}")
        if not np.isfinite(values).all():
            raise ValueError(f"{path}: {name} has values that are not finite: {remedy}")
    return found
