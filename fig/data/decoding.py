"""One image, decoded: every colour mode becomes RGB by a stated rule, and what has no rule is refused."""

from io import BytesIO
from struct import error as StructError

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")  # for others Pillow may start programs
BACKGROUND = "white"  # behind transparent pixels
DEEPEST = 65535  # the largest 16-bit value
TURNS = {  # by EXIF's orientation, what makes the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class RefusedError(ValueError):
    """An image that is not taken; its text is alike for all such images."""


def decode(data: bytes | NDArray[np.uint8]) -> Image.Image:
    """An encoded image, or pixels (height, width[, 3 or 4]), in RGB and upright, as `finish` makes it."""
    return finish(begin(data))


def begin(data: bytes | NDArray[np.uint8]) -> Image.Image:
    """An image whose pixels, if they are encoded in one of FORMATS, are not decoded yet."""
    return Image.open(BytesIO(data), formats=FORMATS) if isinstance(data, bytes) else Image.fromarray(data)


def is_deep(image: Image.Image) -> bool:
    """Whether an image, not decoded yet, holds 16 bits a value."""
    return isinstance(image, ImageFile.ImageFile) and ";16" in str(image.tile[:1])


def finish(image: Image.Image) -> Image.Image:
    """An image in RGB and upright.

    Of an animation or a file of several pages it is the first image. EXIF's orientation is followed. Raises what
    Pillow raises for a damaged image, and what `to_rgb` raises.
    """
    if not isinstance(image, ImageFile.ImageFile):
        return to_rgb(image)
    turn = None if image.format == "TIFF" else TURNS.get(orientation_of(image))  # Pillow turns TIFFs when it loads them
    image.load()
    upright = to_rgb(image)
    return upright.transpose(turn) if turn is not None else upright


def orientation_of(image: Image.Image) -> int:
    """Return an image's EXIF orientation; 1, which is upright, if it is missing or EXIF is damaged."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except (SyntaxError, StructError, TypeError, ValueError):
        return 1


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of any colour mode in 8-bit RGB. This is the rule, by what the image holds:

    - grey (L) and black and white (1): the value three times;
    - 16-bit grey (I;16, and I with values from 0 to 65535): divided by 257 and rounded, so that the whole range is
      kept and nothing is stretched; 16-bit colour is read by Pillow, which keeps the upper 8 bits;
    - transparency (RGBA, LA, PA, a transparent colour): flattened on white;
    - palettes (P): the palette's colours;
    - CMYK: (255 - C) (255 - K) / 255 and so on; YCbCr, HSV and LAB: Pillow's conversion;
    - colour profiles are not applied.

    Raises RefusedError for 32-bit pixels (F, and I with other values), which state no range.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "F":
        raise RefusedError("of floating-point pixels, which state no range")
    if image.mode.startswith("I"):
        return Image.fromarray(narrow(np.asarray(image))).convert("RGB")
    if image.mode[-1] in "Aa" or "transparency" in image.info:
        pixels = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), pixels).convert("RGB")
    return image.convert("RGB")


def narrow(values: NDArray[np.uint16] | NDArray[np.int32]) -> NDArray[np.uint8]:
    """16-bit values (height, width) in 8 bits; raises RefusedError where they are of more than 16."""
    if values.min() < 0 or values.max() > DEEPEST:
        raise RefusedError("of 32-bit integer pixels, which state no range")
    rows = (row.astype(np.int32) for row in values)  # one at a time: the image may be large
    return np.stack([((row + 128) // 257).astype(np.uint8) for row in rows])


def explain_unreadable(error: Exception) -> str:
    """Why an image could not be read, in a few words."""
    if isinstance(error, RefusedError):
        return str(error)
    if isinstance(error, UnidentifiedImageError):
        return "no image that Pillow knows"
    return "too large" if isinstance(error, Image.DecompressionBombError) else "damaged"
