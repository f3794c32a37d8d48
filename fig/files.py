"""Files that are written whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path

from safetensors import SafetensorError


@contextmanager
def told_if_full(path: Path) -> Iterator[None]:
    """Say which disk is full, and what for, where a write in the block fails for lack of space."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if getattr(error, "errno", None) != ENOSPC and f"os error {ENOSPC}" not in str(error):
            raise
        raise OSError(ENOSPC, f"the disk of {path.parent} is full: {path.name} was not written") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to, which takes its place when the block ends without an error.

    The folder is created where there is none. After an error `path` is as it was and the temporary file is gone.
    Raises OSError naming the folder where its disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    try:
        with told_if_full(path):
            yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
