"""Data made to do harm, what reading it must say, and how much memory it may take meanwhile."""

import os
import resource
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from fig.data.arrays import Split
from fig.data.reading import read_images
from support.workspace import ROOT

Files = list[tuple[str, bytes]]


def encode(image: Image.Image | None = None, kind: str = "PNG", **options) -> bytes:
    file = BytesIO()
    (image or Image.new("RGB", (40, 36), "teal")).save(file, kind, **options)
    return file.getvalue()


PETS: Files = [(f"{kind}/{number}.png", encode()) for kind in ("cat", "dog") for number in range(3)]


def write_files(folder: Path, files: Files) -> Path:
    for name, content in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def zipped(files: Files, flags: int = 0, mode: int = 0, **options) -> bytes:
    """A zip file; in each member's two headers `flags` are set, in its attributes the last one's `mode`."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, content in files:
            info = zipfile.ZipInfo(name)
            info.compress_type = archive.compression
            info.external_attr = (mode << 16) * (name == files[-1][0])
            archive.writestr(info, content)
    data = bytearray(file.getvalue())
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = -1
        while (start := data.find(signature, start + 1)) >= 0:
            data[start + place] |= flags
    return bytes(data)


def tarred(files: Files, mode: str = "w", *more: tarfile.TarInfo) -> bytes:
    """A tar file of files, and of headers without content."""
    file = BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, BytesIO(content))
        for info in more:
            archive.addfile(info)
    return file.getvalue()


def header(kind: bytes, size: int = 0, name: str = "cat/x.png") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, "/etc/passwd", size
    return info


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, row: bytes, depth: int = 8, colour: int = 2, *before: bytes) -> bytes:
    """A PNG written by hand, all of whose filtered rows are `row`; `before` are chunks before them."""
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(before) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every path below a folder with its kind and, of a file, its bytes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() and path.stat().st_size < 1 << 20 else b""
        found[str(path.relative_to(folder))] = (path.lstat().st_mode, content)
    return found


def read(where: Path | dict, keep: Path | None = None, **options) -> Split:
    return read_images(where if isinstance(where, dict) else str(where), 32, keep=keep, progress=False, **options)


def check_refused(where: Path | dict, folder: Path, *words: str, **options) -> None:
    """The law: what is hostile is refused in one sentence with these words, and all in the folder stays as it was."""
    kept = folder / "earlier" / "train.npy"
    write_files(kept.parent, [("train.npy", b"earlier"), ("train.json", b"results")])
    before = tree(folder)
    with pytest.raises((ValueError, OSError, RuntimeError)) as refusal:
        read(where, kept, **options)
    sentence = str(refusal.value)
    assert "\n" not in sentence and len(sentence) < 1000
    assert [word for word in words if word not in sentence] == [], sentence
    assert tree(folder) == before


def run_prepare(files: Path, output: Path, reader: str, memory: int) -> subprocess.CompletedProcess[str]:
    """The command of rule prepare in a process of its own, whose memory in bytes is limited."""
    pytest.importorskip("psutil")  # of the pipeline's commands
    recipe = {"reader": reader, "split": "train", "size": 32, "way": "centre", "short": 32}
    options = [word for key, value in recipe.items() for word in (f"--recipe.{key}", str(value))]
    return subprocess.run(
        [sys.executable, "-m", "fig.stages.prepare", "--output", output, "--files", files, *options],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
    )


def check_bounded(files: Path, folder: Path, reader: str, memory: int, *words: str) -> None:
    """The law: within a limited memory the command ends with status 1 and one sentence, and writes no split."""
    output = folder / "data" / "pets" / "train.npy"
    ended = run_prepare(files, output, reader, memory)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr, ended.stderr[-2000:]
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and [word for word in words if word not in errors[0]] == [], ended.stderr
    assert not list(output.parent.rglob("*.npy")) and not list(output.parent.rglob("*.json"))
