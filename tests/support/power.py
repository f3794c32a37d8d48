"""A disk whose power fails: what a reader finds then is made so, with only that kept which was flushed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest


class PowerCutError(BaseException):
    """The power failed: no handler of errors runs on a real machine, and none gets anything done here."""


@dataclass
class Disk:
    """What is done to the names below a folder, step by step; the power fails before the step `cut`, if it is given."""

    folder: Path
    cut: int | None = None
    steps: list[tuple[str, Path, Path]] = field(default_factory=list)  # what is done, to what, and what it becomes
    flushed: set[int] = field(default_factory=set)  # inodes whose content is on the disk
    removes: Callable[..., None] = os.rmdir  # what removes a folder
    names: list[tuple[Path, Path, bytes | None]] = field(default_factory=list)  # moved where, over what, not yet kept

    def step(self, what: str, path: Path, target: Path | None = None) -> None:
        """Take the next step; raises PowerCutError from the cut on."""
        if self.cut is not None and len(self.steps) >= self.cut:
            raise PowerCutError
        self.steps.append((what, path, target or path))

    def fsync(self, descriptor: int) -> None:
        """Keep a file's content, or what has become of the names in a folder."""
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        self.step("flush", path)
        if path.is_dir():
            self.names = [each for each in self.names if each[1].parent != path]
        else:
            self.flushed.add(path.stat().st_ino)

    def replace(self, source: Path, target: Path) -> None:
        """Move a file over another."""
        source, target = Path(source), Path(target)
        self.step("replace", source, target)
        self.names.append((source, target, target.read_bytes() if target.exists() else None))
        source.rename(target)

    def unlink(self, path: Path, **options: int) -> None:
        """Remove a file."""
        if options or Path(path).exists():
            self.step("unlink", Path(path))
        os.remove(path, **options)

    def rmdir(self, path: Path, **options: int) -> None:
        """Remove a folder."""
        self.step("rmdir", Path(path))
        self.removes(path, **options)

    def lose(self, keeps_names: bool) -> None:
        """Lose the content that was not flushed and, unless the disk kept them, names that were not."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path.stat().st_ino not in self.flushed:
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        for source, target, before in [] if keeps_names else reversed(self.names):
            target.rename(source)
            if before is not None:
                target.write_bytes(before)


@contextmanager
def watched(folder: Path, cut: int | None = None) -> Iterator[Disk]:
    """Watch what is done to the files below a folder in the block; what is there already is on the disk."""
    disk = Disk(folder, cut)
    disk.flushed = {path.stat().st_ino for path in folder.rglob("*") if path.is_file()}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "replace", "unlink", "rmdir"):
            patch.setattr(os, name, getattr(disk, name))
        yield disk
