"""Disks that are full or read-only, files that may not grow, handles that are used up: whatever is written.

Each ends in one sentence that names the file and the remedy; what was there stays, and once the fault is mended, the
same work ends with the same bits.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from errno import EDQUOT, ENOSPC
from pathlib import Path

import pytest

from fig.files import PARTIAL
from fig.runtime.command import exit_on_error
from support.disks import Disk
from support.writers import WRITERS, contents, serving


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
