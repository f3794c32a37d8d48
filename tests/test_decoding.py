"""Every colour mode becomes RGB by the stated rule."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from fig.data.decoding import RefusedError, decode

DRAW = np.random.default_rng(0)
GREY = DRAW.integers(0, 256, (5, 7), dtype=np.uint8)
COLOUR = DRAW.integers(0, 256, (5, 7, 3), dtype=np.uint8)
ALPHA = DRAW.integers(0, 256, (5, 7, 1), dtype=np.uint8)
WIDE = DRAW.integers(0, 65536, (5, 7), dtype=np.uint16)


def decoded(image: Image.Image, kind: str = "PNG", **options: object) -> np.ndarray:
    file = BytesIO()
    image.save(file, kind, **options)
    return np.asarray(decode(file.getvalue())).astype(int)


def thrice(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def test_colour_is_kept_to_the_bit():
    assert (decoded(Image.fromarray(COLOUR)) == COLOUR).all() and (np.asarray(decode(COLOUR)) == COLOUR).all()


def test_grey_is_the_value_three_times():
    assert (decoded(Image.fromarray(GREY)) == thrice(GREY)).all()
    assert (decoded(Image.fromarray(GREY > 127)) == thrice(255 * (GREY > 127))).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_are_divided_by_257(kind: str):
    assert (decoded(Image.fromarray(WIDE), kind) == thrice(np.rint(WIDE / 257))).all()


def test_transparency_is_flattened_on_white():
    on_white = COLOUR * (ALPHA / 255) + 255 * (1 - ALPHA / 255)
    assert np.abs(decoded(Image.fromarray(np.dstack([COLOUR, ALPHA]))) - on_white).max() <= 1
    on_white = GREY * (ALPHA[..., 0] / 255) + 255 * (1 - ALPHA[..., 0] / 255)
    assert np.abs(decoded(Image.fromarray(np.dstack([GREY, ALPHA[..., 0]]), "LA")) - thrice(on_white)).max() <= 1


def test_a_palette_gives_its_colours():
    palette = Image.fromarray(GREY % 4, "P")
    colours = DRAW.integers(0, 256, (4, 3))
    palette.putpalette(colours.ravel().tolist())
    assert (decoded(palette) == colours[GREY % 4]).all()


def test_inks_darken_light():
    inks = DRAW.integers(0, 256, (5, 7, 4), dtype=np.uint8)
    expected = (255 - inks[..., :3].astype(int)) * (255 - inks[..., 3:].astype(int)) / 255
    assert np.abs(decoded(Image.fromarray(inks, "CMYK"), "TIFF") - expected).max() <= 1


def test_an_image_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    assert (decoded(Image.fromarray(COLOUR), exif=exif) == np.rot90(COLOUR, -1)).all()


def test_an_animation_gives_its_first_image():
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (10, 200)]
    assert (decoded(frames[0], "GIF", save_all=True, append_images=frames[1:]) == 10).all()


@pytest.mark.parametrize("values", [np.float32(GREY / 255), np.int32(WIDE) * 1000])
def test_pixels_without_a_known_range_are_refused(values: np.ndarray):
    with pytest.raises(RefusedError, match="which state no range"):
        decoded(Image.fromarray(values), "TIFF")
