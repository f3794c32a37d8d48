"""Images of any size at another: resized, cut from the middle, or cropped at random."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fig.data.decoding import RefusedError

SAFE = 89_478_485  # pixels: Pillow warns of images with more
Pixels = NDArray[np.uint8]  # (height, width, 3)


def resized(image: Image.Image, shape: tuple[int, int], resampler: str) -> Image.Image:
    """The whole image at another width and height by a resampler: antialias, bilinear or nearest.

    `bilinear` mixes the four pixels around each point at any scale, as resizing without antialiasing does; `nearest`
    takes the pixel at the point.
    """
    if image.size == shape:
        return image
    if resampler == "bilinear":
        matrix = (image.width / shape[0], 0, 0, 0, image.height / shape[1], 0)
        return image.transform(shape, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    method = {"antialias": Image.Resampling.BILINEAR, "nearest": Image.Resampling.NEAREST}[resampler]
    return image.resize(shape, method)


def with_short_side(image: Image.Image, short: int) -> Image.Image:
    """The image resized so that its short side is of `short` pixels, the other rounded down as torchvision does.

    Raises RefusedError for one so narrow that it would be of more pixels than Pillow thinks safe.
    """
    width, height = (int(length * short / min(image.size)) for length in image.size)
    if width * height > SAFE:
        raise RefusedError("too narrow")
    return resized(image, (width, height), "antialias")


def centre(image: Image.Image, size: int) -> Image.Image:
    """The square of `size` pixels a side in the middle, where torchvision has it."""
    if image.size == (size, size):
        return image
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def crop(image: Image.Image, size: int, generator: np.random.Generator) -> Image.Image:
    """A random square of `size` pixels a side; a smaller image is first resized so that its short side fits."""
    if min(image.size) < size:
        image = with_short_side(image, size)
    left, top = (int(generator.integers(length - size + 1)) for length in image.size)
    return image.crop((left, top, left + size, top + size))
