"""Real images that ship inside Python packages this project depends on: nothing is downloaded."""

from collections.abc import Iterator
from importlib.resources import files

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


def photographs() -> Iterator[tuple[str, Image.Image]]:
    """Name and image of each photograph, in RGB."""
    for package, names in PHOTOGRAPHS.items():
        for name in names:
            with files(package).joinpath(name).open("rb") as file:
                yield name, Image.open(file).convert("RGB")
