"""Disks that are full or read-only, files that may not grow, handles that are used up: whatever is written.

Each ends in one sentence that names the file and the remedy; what was there stays, and once the fault is mended, the
same work ends with the same bits.
"""

import os
import re
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC
from pathlib import Path

import pytest

from fig.files import PARTIAL
from fig.runtime.command import exit_on_error
from support.writers import WRITERS, contents, serving


@dataclass(frozen=True)
class Disk:
    """A small disk of its own, mounted at `folder`."""

    folder: Path

    @contextmanager
    def full(self) -> Iterator[None]:
        """Not a byte is free."""
        filler = self.folder / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match=os.strerror(ENOSPC)):
            while True:
                file.write(bytes(1 << 16))
        yield
        filler.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing can be written."""
        self.remount("ro")
        yield
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


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "fig", folder]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("a disk can only be mounted by root")
    yield Disk(folder)
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(autouse=True, scope="module")
def publisher() -> Iterator[None]:
    with serving():
        yield


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written twice is the same."""
    monkeypatch.setattr("time.time", lambda: 1e9)


def sentence_of(work: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that fails by this work."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as left, exit_on_error():
        work()
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert left.value.code == 1 and len(said) == 1
    return said[0]


FAULTS: dict[str, tuple[Callable[[Disk], AbstractContextManager[None]], str]] = {  # and what is said of each
    "full": (Disk.full, r"the disk of {folder} is full: \S+ was not written; free space there and run it again"),
    "read-only": (Disk.read_only, r"\S+ cannot be written \(Read-only file system\): make {folder} writable"),
    "short files": (Disk.short_files, r"\S+ in {folder} would be larger than a file may be: raise `ulimit -f`"),
    "few handles": (Disk.few_handles, r"\S+ in /\S+ cannot be opened \(Too many open files\): raise `ulimit -n`"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", WRITERS)
def test_what_cannot_be_written_is_one_sentence_with_the_remedy_and_the_next_run_writes_the_same(
    name: str, fault: str, disk: Disk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    if (name, fault) == ("download from a server", "few handles"):
        pytest.skip("the server is in this process and has no handles either")
    write, names = WRITERS[name]
    inflict, said = FAULTS[fault]
    write(tmp_path / "set", 1)
    before = contents(tmp_path / "set", names)
    write(tmp_path / "set", 2)
    after = contents(tmp_path / "set", names)
    folder = disk.folder / "set"
    write(folder, 1)
    with inflict(disk):
        sentence = sentence_of(lambda: write(folder, 2), capsys)
    assert re.search(said.format(folder=folder), sentence), sentence
    assert contents(folder, names) == before
    write(folder, 2)
    assert contents(folder, names) == after
    assert not [path for path in folder.iterdir() if path.name.startswith(PARTIAL)]


@pytest.mark.parametrize(
    ("number", "said"), [(EDQUOT, "the quota of .* is used up"), (ENOSPC, "the disk of .* is full")]
)
def test_a_server_of_files_that_says_only_when_they_are_flushed_that_there_is_no_room(
    number: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    write, names = WRITERS["table"]
    write(tmp_path, 1)
    before = contents(tmp_path, names)
    monkeypatch.setattr(os, "fsync", refuse)
    assert re.search(
        rf"{said}: table\.md was not written; free space there", sentence_of(lambda: write(tmp_path, 2), capsys)
    )
    assert contents(tmp_path, names) == before and len(list(tmp_path.iterdir())) == 1
