"""Image files in folders: class folders for an ID data set, any tree of images for an OOD source."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp")


def image_files(folder: Path) -> list[Path]:
    """Image files below a folder, in the order of their names; raises FileNotFoundError where there are none."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise FileNotFoundError(f"{folder} holds no images: unpack them there as {', '.join(SUFFIXES)} files")
    return files


def class_files(folder: Path) -> tuple[list[Path], list[int], list[str]]:
    """Image files of the class folders in `folder`, their labels, and the names of the classes in order.

    Raises FileNotFoundError where there are no class folders, ValueError where there is only one.
    """
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not classes:
        raise FileNotFoundError(f"{folder} holds no class folders: unpack the images as {folder}/<class>/<image>")
    if len(classes) == 1:
        raise ValueError(f"{folder} holds the class {classes[0]} alone: a discriminator needs at least two")
    files = [image_files(folder / name) for name in classes]
    labels = [label for label, of_class in enumerate(files) for _ in of_class]
    return [path for of_class in files for path in of_class], labels, classes


def pixels(path: Path) -> NDArray[np.uint8]:
    """One image file in RGB: (height, width, 3); raises ValueError naming the file where it cannot be read."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} is not a readable image: {error}") from None
