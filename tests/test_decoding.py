"""One image, decoded: every colour mode becomes RGB as NumPy says, and what has no rule is refused."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fig.data.catalogue import Recipe
from fig.data.decoding import RefusedError, decode, to_rgb
from fig.data.prepare import prepare
from fig.data.resample import with_short_side

DRAW = np.random.default_rng(0)


def noise(*shape: int, top: int = 256, kind: type = np.uint8) -> np.ndarray:
    return DRAW.integers(0, top, shape).astype(kind)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(values: np.ndarray, colour: int) -> bytes:
    """A PNG of 16-bit values (height, width, channels), written by hand: Pillow writes none in colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pixels(data: bytes | np.ndarray) -> np.ndarray:
    image = decode(data)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return colours * share + 255 * (1 - share)


def test_grey_is_repeated_and_colour_is_kept():
    flat, colour = noise(9, 7), noise(9, 7, 3)
    assert np.array_equal(pixels(encoded(Image.fromarray(flat))), grey(flat))
    assert np.array_equal(pixels(encoded(Image.fromarray(colour))), colour)
    assert np.array_equal(pixels(flat), grey(flat)) and np.array_equal(pixels(colour), colour)


def test_black_and_white_are_0_and_255():
    bits = noise(9, 7, top=2).astype(bool)
    assert np.array_equal(pixels(encoded(Image.fromarray(bits))), grey(255 * bits))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_whole_range(kind: str):
    values = np.arange(0, 65536).reshape(256, 256).astype(np.uint16)
    found = pixels(encoded(Image.fromarray(values), kind))
    assert np.array_equal(found, grey(np.rint(values / 257)))
    assert found.min() == 0 and found.max() == 255
    eight = noise(9, 7)
    assert np.array_equal(pixels(encoded(Image.fromarray(eight * np.uint16(257)), kind)), grey(eight))


def test_integers_of_32_bits_are_16_bit_values_or_refused():
    values = noise(9, 7, top=65536, kind=np.int32)
    assert np.array_equal(pixels(encoded(Image.fromarray(values), "TIFF")), grey(np.rint(values / 257)))
    for wrong in (-1, 65536):
        values[2, 3] = wrong
        with pytest.raises(RefusedError, match="32-bit integer pixels"):
            decode(encoded(Image.fromarray(values), "TIFF"))


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_16_bit_colour_and_transparency_keep_the_upper_8_bits(colour: int, channels: int):
    values = noise(9, 7, channels, top=65536, kind=np.uint16)
    upper = (values >> 8).astype(int)
    expected = {
        2: upper,
        4: over_white(grey(upper[..., 0]), upper[..., -1]),
        6: over_white(upper[..., :3], upper[..., -1]),
    }
    assert abs(pixels(png(values, colour)) - expected[colour]).max() <= 0.5


def test_floating_point_pixels_are_refused():
    with pytest.raises(RefusedError, match="floating-point pixels"):
        decode(encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"))


def test_transparency_is_flattened_on_white():
    colour, flat = noise(9, 7, 4), noise(9, 7, 2)
    for found in (pixels(encoded(Image.fromarray(colour))), pixels(colour)):
        assert abs(found - over_white(colour[..., :3], colour[..., 3])).max() <= 0.5
    found = pixels(encoded(Image.fromarray(flat, "LA")))
    assert abs(found - over_white(grey(flat[..., 0]), flat[..., 1])).max() <= 0.5
    hidden = np.zeros((4, 4, 4), np.uint8)
    assert (pixels(encoded(Image.fromarray(hidden))) == 255).all()


def test_a_palettes_colours_are_looked_up_and_its_transparent_one_is_white():
    indices, palette = noise(9, 7, top=16), noise(16, 3)
    image = Image.fromarray(indices, "P")
    image.putpalette(palette.tobytes())
    assert np.array_equal(pixels(encoded(image)), palette[indices])
    with_hole = np.where((indices == 5)[..., None], 255, palette[indices])
    assert np.array_equal(pixels(encoded(image, transparency=5)), with_hole)
    assert np.array_equal(pixels(encoded(image, "GIF", transparency=5)), with_hole)


def test_the_transparent_colour_of_an_rgb_image_is_white():
    image = noise(9, 7, 3)
    image[2, 3] = (1, 2, 3)
    expected = image.copy()
    expected[2, 3] = 255
    assert np.array_equal(pixels(encoded(Image.fromarray(image), transparency=(1, 2, 3))), expected)


def test_cmyk_is_ink_on_white():
    ink = noise(9, 7, 4)
    left = 255 - ink.astype(int)
    assert abs(pixels(encoded(Image.fromarray(ink, "CMYK"), "TIFF")) - left[..., :3] * left[..., 3:] / 255).max() <= 0.5


UPRIGHT = {  # what a viewer shows of rows and columns stored so, by EXIF's orientation
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored),
}


KINDS = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "TIFF of several pages": {"save_all": True, "append_images": [Image.new("RGB", (7, 9))]},
    "TIFF, compressed": {"compression": "tiff_lzw"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exifs_orientation_is_followed(orientation: int, kind: str):
    stored, exif = noise(9, 7, 3), Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(stored), kind[:4].strip(), exif=exif, **KINDS[kind])
    assert np.array_equal(pixels(data), UPRIGHT[orientation](stored))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"])
def test_damaged_exif_turns_nothing(exif: bytes):
    stored = noise(9, 7, 3)
    assert np.array_equal(pixels(encoded(Image.fromarray(stored), exif=exif)), stored)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_image_of_several_is_taken(kind: str):
    first, second = (Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (0, 255))
    assert (pixels(encoded(first, kind, save_all=True, append_images=[second])) == 0).all()


def test_an_image_that_would_grow_without_bounds_is_refused():
    with pytest.raises(RefusedError, match="too narrow"):
        with_short_side(Image.new("RGB", (60_000, 1)), 224)
    assert with_short_side(Image.new("RGB", (500, 1)), 32).size == (16_000, 32)


def test_what_is_refused_is_named_and_counted_by_its_reason(tmp_path: Path):
    floats = encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF")
    files = {"a.tif": floats, "b.tif": floats, "c.png": b"no", "d.png": encoded(Image.fromarray(noise(9, 9, 3)))}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    reasons = r"\(2 of floating-point pixels, which state no range, 1 no image that Pillow knows\)"
    with pytest.raises(ValueError, match=rf"3 of 4 images cannot be read, the first is a\.tif {reasons}"):
        prepare(tmp_path / "out" / "test.npy", [tmp_path], Recipe("images", "test", 8, "antialias"))


def test_other_modes_are_pillows():
    image = Image.fromarray(noise(9, 7, 3))
    assert abs(np.asarray(to_rgb(image.convert("YCbCr"))).astype(int) - np.asarray(image)).max() <= 3
