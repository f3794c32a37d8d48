"""Real images that ship inside Python packages this project depends on: nothing is downloaded."""

from functools import cache
from importlib.resources import files
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

WINDOWS_PER_PHOTOGRAPH = 64
SMALLEST_WINDOW = 64  # pixels a side

# Photographs only: drawings, masks and binary shapes are left out, and so are the two photographs of printed text,
# which holds digits.
PHOTOGRAPHS = {
    "sklearn.datasets.images": ("china.jpg", "flower.jpg"),
    "skimage.data": (
        *("astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png"),
        *("coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png"),
        *("motorcycle_left.png", "retina.jpg", "rocket.jpg"),
    ),
}


def digits() -> tuple[NDArray[np.uint8], list[int]]:
    """The 1,797 handwritten digits: (1797, 8, 8) pixels and their labels."""
    data = load_digits()
    return np.rint(data.images * (255 / 16)).astype(np.uint8), data.target.tolist()  # 0 to 16 -> 0 to 255


@cache
def photographs() -> tuple[NDArray[np.uint8], ...]:
    """Every photograph in RGB: (height, width, 3) each."""
    return tuple(
        np.asarray(Image.open(BytesIO(files(package).joinpath(name).read_bytes())).convert("RGB"))
        for package, names in PHOTOGRAPHS.items()
        for name in names
    )


def windows(seed: int = 0) -> list[NDArray[np.uint8]]:
    """Square windows of the photographs, at random places and of random sides from SMALLEST_WINDOW up."""
    generator = np.random.default_rng(seed)
    cut = []
    for photograph in photographs():
        for _ in range(WINDOWS_PER_PHOTOGRAPH):
            side = int(generator.integers(SMALLEST_WINDOW, min(photograph.shape[:2]) + 1))
            top, left = (int(generator.integers(length - side + 1)) for length in photograph.shape[:2])
            cut.append(photograph[top : top + side, left : left + side])
    return cut
