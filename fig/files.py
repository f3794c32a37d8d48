"""Write files atomically: every permanent file gets its name from `put_in_place`.

Until then its name begins with PARTIAL, in the same folder. The next run overwrites or removes what a killed run left.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EDQUOT, EFBIG, EINVAL, EMFILE, ENFILE, ENOSPC, EPERM, EROFS
from pathlib import Path

from safetensors import SafetensorError

PARTIAL = ".partial-"
LOCKED = (EACCES, EPERM, EROFS)
CROWDED = (EMFILE, ENFILE)
REMEDIES = {
    ENOSPC: "the disk of {folder} is full: {name} was not written; free space there and run it again",
    EDQUOT: "the quota of {folder} is used up: {name} was not written; free space there and run it again",
    EFBIG: "{name} in {folder} would be larger than a file may be: raise `ulimit -f` and run it again",
    **dict.fromkeys(LOCKED, "{name} cannot be written ({reason}): make {folder} writable and run it again"),
    **dict.fromkeys(CROWDED, "{name} in {folder} cannot be opened ({reason}): raise `ulimit -n` and run it again"),
}


def explain_failure(error: BaseException, path: Path | None = None) -> str | None:
    """Say in a sentence why `path`, or the file that an error names, was not written, and the remedy.

    None where an error has another cause, or is about another file than `path`.
    """
    number = getattr(error, "errno", None)
    if isinstance(error, SafetensorError):  # which has the number in its text alone
        number = next((each for each in REMEDIES if f"os error {each})" in str(error)), None)
    if number not in REMEDIES:
        return None
    named = getattr(error, "filename", None)
    if path is None:
        if not isinstance(named, str | bytes):
            return None
        path = Path(os.fsdecode(named))
    elif number in LOCKED and named is not None and Path(named) not in (path, partial_of(path), *path.parents):
        return None
    if number in LOCKED and path.exists() and not os.access(path, os.R_OK):
        return f"{path} cannot be read ({os.strerror(number)}): make it readable and run it again"
    return REMEDIES[number].format(name=path.name, folder=path.parent, reason=os.strerror(number))


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Raise OSError with a sentence that names `path` and the remedy where it cannot be written in the block."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if (sentence := explain_failure(error, path)) is None:
            raise
        raise OSError(sentence) from error


def partial_of(path: Path) -> Path:
    """Return the temporary path of the file `path` until it is complete."""
    return path.with_name(f"{PARTIAL}{path.name}")


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (error.errno == EINVAL and path.is_dir()):  # a network's file system may not know it of folders
            raise
    finally:
        os.close(descriptor)


def put_in_place(partial: Path, path: Path) -> None:
    """Give a complete file its final name in the same folder, durably.

    Even after a power failure, `path` is either the old file or the complete new one.
    """
    flush(partial)
    partial.replace(path)
    flush(path.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path next to `path`, which replaces `path` when the block ends without an error.

    Missing folders are created. After an error, `path` is unchanged and the temporary file is removed. Raises OSError,
    naming the file and the remedy, if it cannot be written.
    """
    partial = partial_of(path)
    with explaining(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            put_in_place(partial, path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def partial_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder in `path` for files that are to be put in place together; it ends with the block.

    Raises OSError, naming the folder and the remedy, where it cannot be written.
    """
    folder = path / f"{PARTIAL}files"
    with explaining(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
