"""Images made to do harm: each is counted with its reason, starts no program, and takes a bounded memory."""

import logging
import os
import struct
import zlib
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fig.data import prepare
from fig.data.archives import LARGEST
from fig.data.prepare import in_order
from support.hostile_data import PETS, check_bounded, check_refused, chunk, encode, png, read, tree, write_files

GIB = 1 << 30
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (36, 40, 3), dtype=np.uint8))
FLOATS = Image.fromarray(np.zeros((36, 40), np.float32))
WIDE = Image.new("1", (90_000, 1))
UNKNOWN = "no image that Pillow knows"
LARGE = "too large"
TEXT = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 27), 9))  # 128 MB in 128 KB


def bmp(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head + bytes(12)


def jpeg(width: int, height: int) -> bytes:
    """A JPEG whose header states another size."""
    data = encode(kind="JPEG")
    assert data.count(struct.pack(">HH", 36, 40)) == 1
    return data.replace(struct.pack(">HH", 36, 40), struct.pack(">HH", height, width))


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + encode(kind="GIF")[10:]


BROKEN: dict[str, tuple[bytes, str]] = {
    "no bytes": (b"", UNKNOWN),
    "a text": (b"no image", UNKNOWN),
    "half a PNG": (encode(NOISE)[:2000], "damaged"),
    "half a JPEG": (encode(NOISE, "JPEG")[:900], "damaged"),
    "half a GIF": (encode(NOISE, "GIF")[:1000], "damaged"),
    "half a BMP": (encode(NOISE, "BMP")[:2000], "damaged"),
    "half a TIFF": (encode(NOISE, "TIFF")[:2000], "damaged"),
    "half a JPEG 2000": (encode(NOISE, "JPEG2000")[:1500], "damaged"),
    "half a WebP": (encode(NOISE, "WEBP", lossless=True)[:1500], "damaged"),
    "half a PPM": (encode(NOISE, "PPM")[:2000], "damaged"),
    "a PNG whose bytes changed": (encode(NOISE).replace(b"IDAT", b"IDAX"), UNKNOWN),
    "a PostScript program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", UNKNOWN),
    "a PDF": (encode(NOISE, "PDF"), UNKNOWN),
    "an icon": (encode(NOISE, "ICO"), UNKNOWN),
    "a Photoshop file": (b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 9, 9, 8, 3) + bytes(300), UNKNOWN),
    "an SVG": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', UNKNOWN),
    "a PNG of 0 pixels a side": (png(0, 9, b""), UNKNOWN),
    "a BMP of 0 pixels a side": (bmp(0, 9), UNKNOWN),
    "a PNG of 60,000 pixels a side": (png(60_000, 60_000, b"", 1, 0), LARGE),
    "a BMP of 60,000 pixels a side": (bmp(60_000, 60_000), LARGE),
    "a JPEG of 60,000 pixels a side": (jpeg(60_000, 60_000), LARGE),
    "a GIF of 60,000 pixels a side": (gif(60_000, 60_000), LARGE),
    "a PPM of 60,000 pixels a side": (b"P6 60000 60000 255\n", LARGE),
    "an image 90,000 pixels wide and 1 high": (encode(WIDE), "too narrow"),
    "a text of 128 MB within a PNG": (png(9, 9, bytes(28), 8, 2, TEXT), "damaged"),
    "a profile of 128 MB within a PNG": (png(9, 9, bytes(28), 8, 2, TEXT.replace(b"zTXt", b"iCCP")), "damaged"),
    "floating-point pixels": (encode(FLOATS, "TIFF"), "of floating-point pixels, which state no range"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_image_that_is_hostile_or_not_whole_is_counted_with_its_reason(case: str, tmp_path: Path):
    content, reason = BROKEN[case]
    write_files(tmp_path / "pets", [*PETS, ("cat/x.png", content)])
    words = ("1 of 7 images cannot be read", "the first is cat/x.png", f"(1 {reason})", "at most 1% may be skipped")
    check_refused(tmp_path / "pets", tmp_path, *words)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)


NO_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pipe": (os.mkfifo, "no file"),
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "no file"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "no file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "no file"),
    "a file of 257 MB": (sparse, "too large"),
}


@pytest.mark.parametrize("case", NO_FILES)
def test_what_is_no_file_is_counted_and_not_waited_for(case: str, tmp_path: Path):
    build, reason = NO_FILES[case]
    build(write_files(tmp_path / "pets", PETS) / "cat" / "x.png")
    check_refused(tmp_path / "pets", tmp_path, "1 of 7 images cannot be read", "cat/x.png", f"(1 {reason})")


def test_when_all_images_are_unreadable_the_reason_is_said(tmp_path: Path):
    write_files(tmp_path / "pets", [(name, b"") for name, _ in PETS])
    check_refused(tmp_path / "pets", tmp_path, "6 of 6 images cannot be read", UNKNOWN)


READ: dict[str, tuple[str, bytes]] = {
    "a JPEG named PNG": ("cat/x.png", encode(NOISE, "JPEG")),
    "a PNG named JPEG": ("cat/x.jpg", encode(NOISE)),
    "a JPEG in CMYK": ("cat/x.jpg", encode(NOISE.convert("CMYK"), "JPEG")),
    "a JPEG with rubbish after its end": ("cat/x.jpg", encode(NOISE, "JPEG") + os.urandom(9999)),
    "a palette": ("cat/x.gif", encode(NOISE.convert("P"), "GIF")),
    "an animated GIF": ("cat/x.gif", encode(NOISE, "GIF", save_all=True, append_images=[FLOATS.convert("RGB")])),
    "an animated WebP": ("cat/x.webp", encode(NOISE, "WEBP", save_all=True, append_images=[NOISE.rotate(9)])),
    "an animated PNG": ("cat/x.png", encode(NOISE, save_all=True, append_images=[NOISE.rotate(9)])),
    "an image in a folder named PNG": ("cat/x.png/y.png", encode(NOISE)),
    "a GIF that states 0 pixels a side": ("cat/x.gif", gif(0, 0)),
}


@pytest.mark.parametrize("case", READ)
def test_an_odd_image_is_read(case: str, tmp_path: Path):
    name, content = READ[case]
    split = read(write_files(tmp_path / "pets", [*PETS, (name, content)]))
    assert len(split.images) == 7 and not split.description.made["broken"]


def test_no_program_is_started_for_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Pillow would ask Ghostscript for a PostScript program's picture; this one leaves a file behind."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "gs"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=os.pathsep)
    content, reason = BROKEN["a PostScript program"]
    write_files(tmp_path / "pets", [*PETS, ("cat/x.png", content)])
    check_refused(tmp_path / "pets", tmp_path, reason)
    assert not (tmp_path / "sprung").exists()


def test_images_of_16_bits_among_others_are_counted_and_their_conversion_stated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    grey = Image.fromarray(np.full((36, 40), 257 * 90, np.uint16))
    colour = png(40, 36, b"\0" + b"\x5a\x99" * 3 * 40, 16, 2)
    write_files(tmp_path / "pets", [*PETS, ("cat/grey.png", encode(grey)), ("dog/colour.png", colour)])
    with caplog.at_level(logging.WARNING, "fig"):
        split = read(tmp_path / "pets")
    assert "2 of 8 images hold 16 bits a value and become 8: grey is divided by 257" in caplog.text
    assert "of colour the upper 8 are kept; the first is cat/grey.png" in caplog.text
    assert (split.images[[3, 7]] == 90).all()


def test_an_image_of_60_000_pixels_a_side_takes_no_memory(tmp_path: Path):
    write_files(tmp_path / "pets", [("cat/0.png", BROKEN["a PNG of 60,000 pixels a side"][0])])
    check_bounded(tmp_path / "pets", tmp_path, "images", GIB, "1 of 1 images cannot be read", "(1 too large)")


@pytest.mark.slow
def test_the_largest_image_that_is_decoded_takes_three_gibibytes(tmp_path: Path):
    side = 13_300
    largest = png(side, side, bytes(1 + 4 * side), 8, 6)  # with transparency, which takes most memory
    write_files(tmp_path / "pets", [("0.png", largest), ("1.png", b"")])  # of which the second is refused, at the end
    check_bounded(tmp_path / "pets", tmp_path, "images", 3 * GIB, "1 of 2 images cannot be read, the first is 1.png")


def kill_itself(task: int) -> int:
    os.kill(os.getpid(), 9)
    return task


@pytest.mark.slow
def test_a_decoder_that_is_killed_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(
        RuntimeError, match=r"one of 2 processes that decode images was killed, .*: state fewer workers"
    ):
        list(in_order(kill_itself, range(9), 2))
    monkeypatch.setattr(prepare, "ProcessPoolExecutor", broken_pool)
    pets = write_files(tmp_path / "pets", PETS)
    before = tree(tmp_path)
    with pytest.raises(RuntimeError, match="state fewer workers"):
        read(pets, workers=2)
    assert tree(tmp_path) == before


def broken_pool(*_: object) -> None:
    raise BrokenProcessPool
