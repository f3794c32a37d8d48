"""Locks that name their holder: whoever waits, or is refused, is told who works there."""

import getpass
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock, Timeout

EVERYBODY = 0o666  # two users of one results folder lock the same file
SHOWN = 200  # characters of a holder's name

log = logging.getLogger("fig")


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


def lock_beside(record: Path) -> Path:
    """The lock of what a record is of."""
    return record.with_name(f".{record.name}.lock")


def find_holder(path: Path) -> str:
    """Who holds a lock file now; empty where nobody does."""
    try:
        with hold_lock(path) if path.exists() else nullcontext():
            return ""
    except HeldError as holder:
        return str(holder)
    except OSError:  # what cannot be opened is reported by whoever needs it
        return ""


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
        with suppress(OSError):  # of a full disk: who works here is a courtesy
            path.write_text(f"{name_this_process()}\n")
        yield


@contextmanager
def wait_for_lock(path: Path, what: str) -> Iterator[bool]:
    """Hold a lock file however long another process keeps it, and say who makes `what`; gives whether one waited."""
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(path))
            waited = False
        except HeldError as holder:
            log.warning("%s is being made by %s: waiting for it", what, holder)
            stack.enter_context(hold_lock(path, patience=-1))
            waited = True
        yield waited
