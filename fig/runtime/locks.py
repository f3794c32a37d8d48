"""Locks that name their holder: whoever waits, or is refused, is told who works there."""

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

EVERYBODY = 0o666  # two users of one results folder lock the same file
SHOWN = 200  # characters of a holder's name


class HeldError(RuntimeError):
    """Another process holds a lock for longer than one waits for it."""


def name_this_process() -> str:
    """Who works here: user, machine and process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an identity without a name, as containers have it
        user = f"user {os.getuid()}"
    return f"{user} on {socket.gethostname()}, process {os.getpid()}"


def name_holder(path: Path) -> str:
    """Who holds a lock file, as its holder wrote it there; another process where it wrote nothing."""
    try:
        with path.open(errors="replace") as file:
            written = file.read(SHOWN)
    except OSError:
        written = ""
    return "".join(filter(str.isprintable, written)).strip() or "another process"


@contextmanager
def hold_lock(path: Path, patience: float = 0) -> Iterator[None]:
    """Hold a lock file, and be named in it; the system frees the lock of a process that has died.

    Raises HeldError, naming the holder, where another process keeps it for longer than `patience` in seconds (-1: wait
    without end), OSError where the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(path, mode=EVERYBODY).acquire(timeout=patience)
    except Timeout as error:
        raise HeldError(name_holder(path)) from error
    with held:
        path.write_text(f"{name_this_process()}\n")
        yield
