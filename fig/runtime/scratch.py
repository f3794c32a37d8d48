"""Make a temporary folder that a process removes at its end. The next process removes what a killed one left."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "fig-job-"
LOCK = "held"  # a file in the folder, locked for as long as the process lives
LONGEST = 26  # characters of a folder's name that keep the names of Ray's sockets within the kernel's 107


@contextmanager
def scratch_folder(place: str | None = None) -> Iterator[Path]:
    """Make a temporary folder in `place`, by default Python's own place, and remove it after the block.

    First remove the folders that killed processes left in `place`.
    """
    place = place or tempfile.gettempdir()
    for left in Path(place).glob(f"{PREFIX}*/{LOCK}"):
        if not left.parent.is_symlink() and (lock := hold(left)) is not None:
            remove(left.parent)
            os.close(lock)
    made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=place))
    lock = hold(made / LOCK, os.O_CREAT)
    folder = made.rename(made.with_name(made.name[1:]))  # no other process finds it before it is locked
    try:
        yield folder
    finally:
        remove(folder)
        if lock is not None:
            os.close(lock)


def place_for_sockets() -> str:
    """Return the place of Ray's folder: Python's place for temporary files, or /tmp if that name is too long."""
    place = Path(tempfile.gettempdir())
    place = place.parent if place.name.startswith(PREFIX) else place  # next to the job's own folder
    return str(place) if len(str(place)) <= LONGEST else "/tmp"


def hold(file: Path, create: int = 0) -> int | None:
    """Lock a file of this user and return its open descriptor, or None if another process or user has it."""
    with suppress(OSError):
        lock = os.open(file, os.O_RDWR | os.O_NOFOLLOW | create, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        if os.fstat(lock).st_uid == os.geteuid():
            return lock
        os.close(lock)
    return None


def remove(folder: Path) -> None:
    """Remove a folder. Try again for some seconds if a dying process of Ray still writes into it."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """In the block, make this process and its children put their temporary files into the folder."""
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = None
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before
