"""A small disk that is full or read-only, and limits of this process."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Disk:
    """A small disk of its own, mounted at `folder`, and what can be wrong with it or with this process."""

    folder: Path

    @contextmanager
    def full(self) -> Iterator[None]:
        """Not a byte is free."""
        filler = self.folder / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match=os.strerror(ENOSPC)):
            while True:
                file.write(bytes(1 << 16))
        try:
            yield
        finally:
            filler.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing can be written."""
        self.remount("ro")
        try:
            yield
        finally:
            self.remount("rw")

    @contextmanager
    def short_files(self) -> Iterator[None]:
        """No file may be longer than a few bytes, as a batch system may say."""
        with limited(resource.RLIMIT_FSIZE, 4):
            yield

    @contextmanager
    def few_handles(self) -> Iterator[None]:
        """All file handles that this process may have are in use."""
        free = os.open("/dev/null", os.O_RDONLY)
        os.close(free)
        with limited(resource.RLIMIT_NOFILE, free):
            yield

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.folder], check=True)


@contextmanager
def limited(what: int, most: int) -> Iterator[None]:
    """Lower a limit of this process."""
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


@contextmanager
def mounted_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a small disk at a new folder, for root alone: the test is skipped for others."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "fig", folder]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("a disk can only be mounted by root")
    yield
    subprocess.run(["umount", "-l", folder], check=True)
