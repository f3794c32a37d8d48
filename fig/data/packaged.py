"""Real images that ship inside Python packages this project depends on: nothing is downloaded."""

from functools import cache
from importlib.resources import files
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

TEST_SHARE = 0.25

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


def digits(split: str, seed: int) -> tuple[NDArray[np.uint8], list[int]]:
    """Handwritten digits of a seeded stratified split, `train` or `test`: (N, 8, 8, 3) images and their labels."""
    data = load_digits()
    grey = np.rint(data.images * (255 / 16)).astype(np.uint8)  # 0 to 16 -> 0 to 255
    parts = train_test_split(grey, data.target, test_size=TEST_SHARE, stratify=data.target, random_state=seed)
    images, labels = (parts[0], parts[2]) if split == "train" else (parts[1], parts[3])
    return np.repeat(images[..., None], 3, axis=-1), labels.tolist()


@cache
def photographs() -> tuple[NDArray[np.uint8], ...]:
    """Every photograph in RGB: (height, width, 3) each."""
    return tuple(
        np.asarray(Image.open(BytesIO(files(package).joinpath(name).read_bytes())).convert("RGB"))
        for package, names in PHOTOGRAPHS.items()
        for name in names
    )
