"""Locks that name their holder, so that a process that waits or is refused can say who works there."""

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
    """Another process has held a lock for longer than this one waits."""


def name_this_process() -> str:
    """Return a name for this process: user, machine and process number."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        user = f"user {os.getuid()}"
    return f"{user} on {socket.gethostname()}, process {os.getpid()}"


def name_holder(path: Path) -> str:
    """Return the name that a lock file's holder wrote into it, or "another process" if it wrote nothing."""
    try:
        with path.open(errors="replace") as file:
            written = file.read(SHOWN)
    except OSError:
        written = ""
    return "".join(filter(str.isprintable, written)).strip() or "another process"


def lock_beside(record: Path) -> Path:
    """Return the lock file of the outputs that a record describes."""
    return record.with_name(f".{record.name}.lock")


def find_holder(path: Path) -> str:
    """Return the present holder of a lock file, or an empty string if it is free."""
    try:
        with hold_lock(path) if path.exists() else nullcontext():
            return ""
    except HeldError as holder:
        return str(holder)
    except OSError:  # the function that needs the lock reports a file that cannot be opened
        return ""


@contextmanager
def hold_lock(path: Path, patience: float = 0) -> Iterator[None]:
    """Hold a lock file, and write this process's name into it. The system frees the lock of a dead process.

    Raises HeldError, which names the holder, if another process keeps the lock for longer than `patience` in seconds
    (-1: wait forever), and OSError if the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(path, mode=EVERYBODY).acquire(timeout=patience)
    except Timeout as error:
        raise HeldError(name_holder(path)) from error
    with held:
        with suppress(OSError):  # a full disk: the name is only a courtesy
            path.write_text(f"{name_this_process()}\n")
        yield


@contextmanager
def wait_for_lock(path: Path, what: str) -> Iterator[bool]:
    """Hold a lock file, wait as long as another process keeps it, and log who makes `what`. Give whether it waited."""
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(path))
            waited = False
        except HeldError as holder:
            log.warning("%s is being made by %s: waiting for it", what, holder)
            stack.enter_context(hold_lock(path, patience=-1))
            waited = True
        yield waited
