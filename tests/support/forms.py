"""The same twelve pictures in each form in which a data set may be: what writes it, and the entry that reads it."""

import csv
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from fig.data.arrays import Split, open_split
from fig.data.catalogue import datasets_of, files_of, recipe
from fig.data.prepare import prepare

CLASSES = ["ant", "bee", "cow"]
LABELS = [row // 4 for row in range(12)]
NAMES = [f"{CLASSES[label]}/{row:02}.png" for row, label in enumerate(LABELS)]  # in the order of a folder's names
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 40, 36, 3), dtype=np.uint8)

Rows = list[tuple[str, ...]]


def encode(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_folder(folder: Path) -> dict:
    for name, pixels in zip(NAMES, PIXELS, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode(pixels))
    return {"path": str(folder)}


def write_zip(folder: Path) -> dict:
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for name, pixels in zip(NAMES, PIXELS, strict=True):
            archive.writestr(name, encode(pixels))
    return {"path": str(folder / "all.zip")}


def write_arrays(folder: Path) -> dict:
    np.savez(folder / "all.npz", images=PIXELS, labels=np.array([CLASSES[label] for label in LABELS]))
    return {"path": str(folder / "all.npz")}


def write_list(folder: Path) -> dict:
    write_folder(folder / "images")
    lines = [f"{name} {CLASSES[label]}\n" for name, label in zip(NAMES, LABELS, strict=True)]
    (folder / "list.txt").write_text("".join(lines))
    return {"path": str(folder / "images"), "labels": str(folder / "list.txt")}


def rows_of(below: str = "images/") -> Rows:
    return [(f"{below}{name}", CLASSES[label]) for name, label in zip(NAMES, LABELS, strict=True)]


def write_csv(path: Path, rows: Rows, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def write_table(folder: Path) -> dict:
    write_folder(folder / "images")
    return {"path": str(write_csv(folder / "all.csv", [("filename", "label"), *rows_of()]))}


def write_excels_table(folder: Path) -> dict:
    """With a byte order mark, semicolons and other names, apart from its images."""
    write_zip(folder)
    rows = [("id", "Bild", "Tier"), *(("7", *row) for row in rows_of(""))]
    table = write_csv(folder / "all.csv", rows, ";", "utf-8-sig")
    return {"path": str(folder / "all.zip"), "labels": str(table), "image_column": "Bild", "label_column": "Tier"}


def write_tabs(folder: Path) -> dict:
    write_folder(folder / "images")
    return {"path": str(write_csv(folder / "all.tsv", [("Class", "Path"), *(row[::-1] for row in rows_of())], "\t"))}


FORMS: dict[str, Callable[[Path], dict]] = {
    "folder": write_folder,
    "zip": write_zip,
    "npz": write_arrays,
    "list": write_list,
    "csv": write_table,
    "csv in Excel's manner": write_excels_table,
    "tsv": write_tabs,
}


def own(train: dict, **more) -> dict:
    """The entry of an ID data set of 32 x 32 pixels."""
    return {"train": train, "size": 32} | more


def prepared(entry: dict, folder: Path, name: str = "pets", split: str = "train") -> Split:
    """What the catalogue's machinery makes of an entry called pets, for 32 x 32 pixels."""
    datasets = datasets_of({"pets": entry})
    output = folder / "prepared" / name / f"{split}.npy"
    files = [Path(file) for file in files_of(name, split, datasets)]
    prepare(output, files, recipe(name, split, 32, datasets, own=True))
    return open_split(output)


def check_form(write: Callable[[Path], dict], folder: Path) -> None:
    """The law: a form gives the split that NumPy's pixels and the class folders give."""
    for place in ("form", "folder"):
        (folder / place).mkdir()
    found = prepared(own(write(folder / "form")), folder / "found")
    expected = prepared(own(write_folder(folder / "folder")), folder / "expected")
    assert np.array_equal(found.images, expected.images) and found.labels.tolist() == LABELS
    assert found.description.classes == CLASSES and found.description.mean == expected.description.mean
    assert found.description.made["counts"] == dict.fromkeys(CLASSES, 4)
