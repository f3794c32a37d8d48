"""Parquet tables and Hugging Face data sets on disk: the same images give the same split as in any other form."""

from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fig.data.catalogue import datasets_of, recipe
from fig.data.reading import read_images
from support.forms import CLASSES, LABELS, NAMES, PIXELS, check_form, encode, own, prepared, write_folder

datasets.disable_progress_bars()

PLAIN = datasets.Features({"img": datasets.Image(), "label": datasets.Value("string")})
NAMED = datasets.Features({"img": datasets.Image(), "kind": datasets.ClassLabel(names=CLASSES)})
WORDS = [CLASSES[label] for label in LABELS]


def write_parquet(folder: Path, **columns) -> dict:
    """In row groups of five, so that a row is looked for in the right one."""
    pq.write_table(pa.table(columns), folder / "all.parquet", row_group_size=5)
    return {"path": str(folder / "all.parquet")}


def paths_in_parquet(folder: Path) -> dict:
    write_folder(folder / "images")
    return write_parquet(folder, path=[f"images/{name}" for name in NAMES], label=WORDS)


def paths_in_a_dictionary(folder: Path) -> dict:
    write_folder(folder)
    return write_parquet(folder, path=pa.array(NAMES).dictionary_encode(), target=pa.array(WORDS).dictionary_encode())


def bytes_in_parquet(folder: Path) -> dict:
    return write_parquet(folder, image=[encode(pixels) for pixels in PIXELS], label=WORDS)


def dataset(features: datasets.Features) -> datasets.Dataset:
    labels = LABELS if features is NAMED else WORDS
    values = zip(features, ([encode(pixels) for pixels in PIXELS], labels), strict=True)
    images = {
        name: [{"bytes": each, "path": None} for each in found] if name == "img" else found for name, found in values
    }
    return datasets.Dataset.from_dict(images, features=features)


def hub_in_parquet(folder: Path) -> dict:
    dataset(NAMED).to_parquet(folder / "all.parquet", batch_size=5)
    return {"path": str(folder / "all.parquet")}


def saved(folder: Path) -> dict:
    dataset(PLAIN).save_to_disk(folder / "saved", num_shards=3)
    return {"path": str(folder / "saved")}


def saved_rows_in_another_order(folder: Path) -> dict:
    """What a selection's index says, not the rows that lie below it."""
    dataset(NAMED).select(range(11, -1, -1)).select(range(11, -1, -1)).save_to_disk(folder / "saved")
    return {"path": str(folder / "saved")}


def saved_splits(folder: Path) -> dict:
    splits = {"train": dataset(NAMED), "validation": dataset(NAMED).select([0])}
    datasets.DatasetDict(splits).save_to_disk(folder / "saved")
    return {"path": str(folder / "saved")}


FORMS: list[Callable[[Path], dict]] = [
    paths_in_parquet,
    paths_in_a_dictionary,
    bytes_in_parquet,
    hub_in_parquet,
    saved,
    saved_rows_in_another_order,
    saved_splits,
]


@pytest.mark.parametrize("write", FORMS)
def test_every_form_of_the_same_images_gives_the_same_split(write: Callable[[Path], dict], tmp_path: Path):
    check_form(write, tmp_path)
    assert read_images(write(tmp_path), 32).labels.tolist() == LABELS


def test_paths_that_a_saved_data_set_holds_are_read(tmp_path: Path):
    write_folder(tmp_path)
    held = {"img": [{"bytes": None, "path": f"{tmp_path}/{name}"} for name in NAMES], "kind": LABELS}
    table = pa.table(held, schema=NAMED.arrow_schema)
    pq.write_table(table, tmp_path / "all.parquet")
    split = prepared(own({"path": str(tmp_path / "all.parquet")}), tmp_path)
    assert split.labels.tolist() == LABELS and split.description.classes == CLASSES


def test_a_split_that_a_data_set_lacks_is_refused_or_stated_as_under(tmp_path: Path):
    part = saved_splits(tmp_path)
    with pytest.raises(
        FileNotFoundError, match="has no split test, only train, validation: state one of them as under"
    ):
        prepared({"images": part}, tmp_path, "pets-r-antialias", "test")
    stated = part | {"under": "validation"}
    assert recipe("pets", "train", 32, datasets_of({"pets": own(stated)}), own=True).reader == "huggingface"
    assert len(prepared({"images": stated}, tmp_path, "pets-r-antialias", "test").images) == 1


def test_an_image_without_bytes_is_an_unreadable_image(tmp_path: Path):
    images = [encode(pixels) for pixels in PIXELS]
    part = write_parquet(tmp_path, image=[images[0], None, *images[2:]], label=WORDS)
    with pytest.raises(ValueError, match=r"1 of 12 images cannot be read, the first is .*all\.parquet\[1\]"):
        prepared(own(part), tmp_path)


def test_integers_with_gaps_are_the_integers(tmp_path: Path):
    labels = pa.array([None, *map(float, LABELS[1:])])
    part = write_parquet(tmp_path, image=[encode(pixels) for pixels in PIXELS], label=labels)
    with pytest.raises(ValueError, match="1 of 12 images have no label"):
        prepared(own(part), tmp_path)
    part |= {"classes": ["0", "1", "2"]}
    assert prepared(own(part), tmp_path).labels.tolist() == LABELS[1:]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"image": [[1, 2]] * 2, "label": ["a", "b"]}, r"column image is of type list<.*>, neither paths nor encoded"),
        ({"picture": ["a", "b"], "label": ["a", "b"]}, r"only picture, label: state image_column"),
        ({"path": ["../a.png", "b.png"], "label": ["a", "b"]}, r"names 1 images outside of"),
        ({"path": [None, "b.png"], "label": ["a", "b"]}, r"1 of 2 rows name no image, the first is row 1"),
    ],
)
def test_tables_that_are_no_data_set_are_refused(columns: dict, reason: str, tmp_path: Path):
    with pytest.raises(ValueError, match=reason):
        prepared(own(write_parquet(tmp_path, **columns)), tmp_path)


def test_a_label_beyond_the_classes_is_refused(tmp_path: Path):
    held = {"img": [{"bytes": encode(pixels), "path": None} for pixels in PIXELS], "kind": [3, *LABELS[1:]]}
    pq.write_table(pa.table(held, schema=NAMED.arrow_schema), tmp_path / "all.parquet")
    with pytest.raises(ValueError, match="kind is 3 in a row, but there are only 3 classes"):
        prepared(own({"path": str(tmp_path / "all.parquet")}), tmp_path)


def test_a_folder_that_is_no_saved_data_set_is_refused(tmp_path: Path):
    write_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="is no Hugging Face data set that save_to_disk wrote"):
        prepared(own({"path": str(tmp_path), "reader": "huggingface"}), tmp_path)
