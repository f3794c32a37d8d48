"""Load arrays of others from NumPy and MATLAB files, without unpickling and with a limit on their size."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from fig.data.archives import LARGEST
from fig.intact import DOWNLOAD, explain_damage
from fig.settings import Json

RATIO = 100  # as many times its size a large array may unpack to
MOST_VALUES = 1 << 31  # of an array in a MATLAB file

Array = NDArray[np.int64]  # or of another type: the caller checks it


def load_array(path: Path) -> Array:
    """Open the array in a `.npy` file, on disk until it is indexed; raises ValueError naming a file without one."""
    loaded = open_numpy(path)
    if isinstance(loaded, NpzFile):
        raise ValueError(f"{path} holds several arrays: name it .npz")
    return loaded


def load_arrays(path: Path, names: Sequence[str]) -> dict[str, Array]:
    """Load the arrays of a `.npz` file with these names; raises ValueError for a bomb or a truncated array."""
    loaded = open_numpy(path)
    if not isinstance(loaded, NpzFile):
        raise ValueError(f"{path} holds one array without a name: name it .npy")
    with loaded:
        for info in loaded.zip.infolist() if loaded.zip else ():
            if info.file_size > max(LARGEST, RATIO * info.compress_size):
                many = f"{info.file_size} bytes, above {RATIO} times its {info.compress_size}"
                raise ValueError(f"{path} is refused: its {info.filename} would unpack to {many}: save it as .npy")
        with explain_damage(path, "array", DOWNLOAD), refuse_pickles():
            found = {name: loaded[name] for name in names if name in loaded}
        if odd := next((name for name, array in found.items() if not isinstance(array, np.ndarray)), None):
            raise ValueError(f"{path} holds {odd}, which is no array")
        if names[0] not in found:
            raise ValueError(f"{path} holds {', '.join(loaded) or 'nothing'}, but no array called {names[0]}")
        return found


def open_numpy(path: Path) -> "Array | NpzFile[np.int64]":
    """Open a NumPy file without loading pickles."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no file")
    with explain_damage(path, "array", DOWNLOAD), refuse_pickles():
        found: Array | NpzFile[np.int64] = np.load(path, mmap_mode="r", allow_pickle=False)
        return found


@contextmanager
def refuse_pickles() -> Iterator[None]:
    """Replace NumPy's message, which advises loading Python objects anyway."""
    try:
        yield
    except ValueError as error:
        if any(word in str(error) for word in ("pickle", "Python objects")):
            raise ValueError("it holds no numbers, and pickles are never loaded") from None
        raise


def load_matlab(path: Path, names: Sequence[str]) -> dict[str, Json]:
    """Load these arrays of a MATLAB file; raises ValueError if one is missing or too large, or the file truncated."""
    from scipy.io import loadmat, whosmat

    with explain_damage(path, "MATLAB file", DOWNLOAD):
        shapes = {name: shape for name, shape, _ in whosmat(path)}
    if missing := next((name for name in names if name not in shapes), None):
        raise ValueError(f"{path} holds no array {missing}: is it the right file?")
    if large := next((name for name in names if prod(shapes[name]) > MOST_VALUES), None):
        raise ValueError(f"{path} is refused: its {large} would be of {shapes[large]} values, above {MOST_VALUES}")
    with explain_damage(path, "MATLAB file", DOWNLOAD):
        found: dict[str, Json] = loadmat(path, variable_names=names)
        return found
