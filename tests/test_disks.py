"""Disks that are full or read-only, files that may not grow, handles that are used up: whatever is written.

Each ends in one sentence that names the file and the remedy; what was there stays, and once the fault is mended, the
same work ends with the same bits.
"""

import hashlib
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from errno import EDQUOT, ENOSPC
from pathlib import Path

import numpy as np
import pytest

from fig.files import PARTIAL
from fig.runtime.command import exit_on_error
from fig.stages.report import Report
from fig.stages.support import pages
from fig.stages.support.writing import write_text
from fig.study import Selection
from support.disks import Disk
from support.writers import WRITERS, clock, contents, publisher  # noqa: F401  fixtures of this module


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


def test_a_page_that_cannot_be_written_leaves_those_that_were_there(disk: Disk, monkeypatch: pytest.MonkeyPatch):
    there = {"partial.html": "a page", "pages/of/another.html": "a page"}
    for name, text in there.items():
        write_text(disk.folder / name, text)
    job = Report(selection=Selection((), (0,), {}, {}), targets=(), data=(), folder=disk.folder)
    new = {"report.html": "new", "pages/a/b.html": "new"}
    monkeypatch.setattr(pages, "build_pages", lambda *_, **__: iter(new.items()))
    with disk.full(), pytest.raises(OSError, match=rf"the disk of {disk.folder} is full: report\.html was not written"):
        pages.write_pages(job, partial=False)
    assert texts_below(disk.folder) == there
    pages.write_pages(job, partial=False)
    assert texts_below(disk.folder) == new


def texts_below(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
COPY = ["download", "--output", "out/src/a.zip", "--file.url", "http://x.invalid/a.zip", "--mirror", "mirror"]
PREPARE = ["prepare", "--output", "out/32/a/train.npy", "--files", "a.npy", "--workers", "2"]
PREPARE += "--recipe.reader arrays --recipe.split train --recipe.size 16".split()  # noqa: SIM905
PREPARE += "--recipe.way centre --recipe.short 16".split()  # noqa: SIM905


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shut", "words", "said"),
    [
        ("out/src", COPY, r"\.a\.zip\.lock cannot be written \(Permission denied\): make \S+/out/src writable"),
        ("mirror/src/a.zip", COPY, r"mirror/src/a\.zip cannot be read \(Permission denied\): make it readable"),
        ("", COPY, r"a\.zip in \S+ cannot be opened \(Too many open files\): raise `ulimit -n`"),
        ("", PREPARE, r"train\.npy in \S+ cannot be opened \(Too many open files\): raise `ulimit -n`"),
    ],
    ids=["folder to write into", "file to read", "handles of a download", "handles of a preparation"],
)
def test_a_command_that_may_not_open_a_file_says_which_and_what_to_do(
    shut: str, words: list[str], said: str, tmp_path: Path
):
    for folder in ("out/src", "mirror/src"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "mirror/src/a.zip").write_bytes(b"an archive")
    np.save(tmp_path / "a.npy", np.zeros((4, 16, 16, 3), np.uint8))
    known = hashlib.md5(b"an archive").hexdigest()
    command = [sys.executable, "-m", f"fig.stages.{words[0]}", *words[1:]]
    command += ["--file.hash", f"md5:{known}"] if words is COPY else []
    limits = {} if shut else {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FEW[words[0]],) * 2)}
    if shut and not os.geteuid():
        command = [*UNPRIVILEGED, *command]
    if shut:
        (tmp_path / shut).chmod(0o500 if (tmp_path / shut).is_dir() else 0)

    def run(**options) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, **options)

    refused = run(**limits)
    errors = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert refused.returncode == 1 and "Traceback" not in refused.stderr, refused.stderr
    assert len(errors) == 1 and re.search(said, errors[0]), refused.stderr
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.suffix != ".lock"]
    if shut:
        (tmp_path / shut).chmod(0o700)
    assert run().returncode == 0


FEW = {"download": 5, "prepare": 12}  # handles that suffice to start, and not for the work
