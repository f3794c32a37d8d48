"""Lists and tables of images: every form of the same images gives the same split."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fig.data.arrays import Split, open_split
from fig.data.catalogue import datasets_of, files_of, recipe
from fig.data.prepare import prepare
from fig.data.reading import read_images
from fig.study.checks import check_own_dataset
from fig.study.config import ConfigError

NAMES = ["ant", "bee", "cow"]
LABELS = [index % 3 for index in range(12)]
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 40, 36, 3), dtype=np.uint8)


def write_pictures(folder: Path) -> list[str]:
    """Twelve pictures in class folders; their names."""
    names = [f"{NAMES[label]}/{row:02}.png" for row, label in enumerate(LABELS)]
    for name, pixels in zip(names, PIXELS, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    return names


def prepared(entry: dict, folder: Path, name: str = "pets", split: str = "train") -> Split:
    """What the catalogue's machinery makes of an entry, at 32 x 32."""
    datasets = datasets_of({"pets": entry})
    output = folder / "prepared" / name / f"{split}.npy"
    files = [Path(file) for file in files_of(name, split, datasets)]
    prepare(output, files, recipe(name, split, 32, datasets, own=True))
    return open_split(output)


def own(train: dict) -> dict:
    return {"train": train, "size": 32}


@pytest.mark.parametrize("labels", [LABELS, [NAMES[label] for label in LABELS]])
def test_an_image_list_names_images_of_the_stated_folder(labels: list, tmp_path: Path):
    names = write_pictures(tmp_path / "images")
    listed = "".join(f"images/{name} {label}\n" for name, label in zip(names, labels, strict=True))
    (tmp_path / "list.txt").write_text(listed)
    beside = prepared(own({"path": str(tmp_path / "list.txt")}), tmp_path / "beside")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "list.txt").write_text(listed.replace("images/", ""))
    entry = own({"path": str(tmp_path), "under": "images", "labels": str(tmp_path / "lists" / "list.txt")})
    apart = prepared(entry, tmp_path / "apart")
    folders = prepared(own({"path": str(tmp_path / "images")}), tmp_path / "folders")
    order = np.argsort(names)
    for split in (beside, apart):
        assert split.labels.tolist() == LABELS and split.description.classes == sorted(set(map(str, labels)))
        assert np.array_equal(split.images[order], folders.images)


def test_numbers_as_labels_are_in_the_order_of_their_values(tmp_path: Path):
    names = write_pictures(tmp_path)
    (tmp_path / "list.txt").write_text("".join(f"{name} {11 - row}\n" for row, name in enumerate(names)))
    split = prepared(own({"path": str(tmp_path / "list.txt")}), tmp_path)
    assert split.labels.tolist() == list(range(11, -1, -1)) and split.description.classes[-2:] == ["10", "11"]


@pytest.mark.parametrize("label", [" -1", ""])
def test_an_image_list_of_an_ood_set_has_no_labels(label: str, tmp_path: Path):
    names = write_pictures(tmp_path)
    (tmp_path / "list.txt").write_text("".join(f"{name}{label}\n" for name in names))
    split = prepared({"images": {"path": str(tmp_path / "list.txt")}}, tmp_path, "pets-r-antialias", "test")
    assert len(split.images) == 12 and not len(split.labels) and not split.description.classes


def test_an_id_set_whose_images_lack_labels_is_refused_with_their_count(tmp_path: Path):
    names = write_pictures(tmp_path)
    (tmp_path / "list.txt").write_text(
        "".join(f"{name} {row - 2 if row > 1 else -1}\n" for row, name in enumerate(names))
    )
    with pytest.raises(ValueError, match=r"pets train: 2 of 12 images have no label, the first is ant/00\.png"):
        prepared(own({"path": str(tmp_path / "list.txt")}), tmp_path)


@pytest.mark.parametrize("name", ["../secret.png", "/secret.png", "ant/../../secret.png"])
def test_a_list_that_leads_out_of_its_folder_is_refused_with_a_count(name: str, tmp_path: Path):
    names = write_pictures(tmp_path / "images")
    (tmp_path / "images" / "list.txt").write_text("\n".join([f"{names[0]} 0", f"{name} 1", f"{name} 0"]))
    with pytest.raises(ValueError, match=r"list\.txt names 2 images outside of .*images, the first is .*secret\.png"):
        prepared(own({"path": str(tmp_path / "images" / "list.txt")}), tmp_path)


def test_an_absolute_name_within_the_folder_is_taken(tmp_path: Path):
    names = write_pictures(tmp_path / "images")
    (tmp_path / "list.txt").write_text("".join(f"{tmp_path}/images/{name} {name[:3]}\n" for name in names))
    assert prepared(own({"path": str(tmp_path / "list.txt")}), tmp_path).labels.tolist() == LABELS


def test_images_that_are_missing_are_refused_with_a_count(tmp_path: Path):
    names = write_pictures(tmp_path)
    (tmp_path / "list.txt").write_text("\n".join([f"{names[0]} 0", "ant/no.png 1", "ant/neither.png 1"]))
    with pytest.raises(FileNotFoundError, match=r"2 of 3 images that .* names are not in .*, the first is ant/no\.png"):
        prepared(own({"path": str(tmp_path / "list.txt")}), tmp_path)


def test_the_folder_of_a_lists_images_is_an_input_of_their_preparation():
    stated = {"a": own({"path": "pets/list.txt"}), "b": own({"path": "images", "labels": "lists/list.txt"})}
    datasets = datasets_of(stated)
    assert files_of("a", "train", datasets) == ["pets", "pets/list.txt"]
    assert files_of("b", "train", datasets) == ["images", "lists/list.txt"]
    assert recipe("a", "train", 32, datasets, own=True).reader == recipe("b", "train", 32, datasets, own=True).reader


def test_a_list_in_the_folder_of_the_runs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path)
    Path("list.txt").touch()
    with pytest.raises(ConfigError, match=r"datasets\.pets\.train: list\.txt names images in \., which holds the runs"):
        check_own_dataset("pets", datasets_of({"pets": own({"path": "list.txt"}) | {"test_share": 0.5}})["pets"])


def write_forms(folder: Path) -> dict[str, tuple[dict, list]]:
    """The same images in every form: the keys of its entry, and the names of the files in its order."""
    names = write_pictures(folder / "images")
    classes = [NAMES[label] for label in LABELS]
    rows = "".join(f"{name},{label}\n" for name, label in zip(names, classes, strict=True))
    (folder / "images" / "table.csv").write_text("File_Name,Label\n" + rows)
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    write_table(pyarrow.table({"image": names, "class": classes}), folder / "images" / "table.parquet")
    datasets = pytest.importorskip("datasets")
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    held = {"image": [str(folder / "images" / name) for name in names], "label": LABELS}
    datasets.DatasetDict({"train": datasets.Dataset.from_dict(held, kinds)}).save_to_disk(folder / "hub")
    (folder / "images" / "list.txt").write_text(rows.replace(",", " "))
    images = folder / "images"
    return {
        "folders": ({"path": str(images)}, sorted(names)),
        "list": ({"path": str(images / "list.txt")}, names),
        "csv": ({"path": str(images / "table.csv")}, names),
        "parquet": ({"path": str(images / "table.parquet")}, names),
        "huggingface": ({"path": str(folder / "hub"), "reader": "huggingface"}, names),
    }


@pytest.mark.parametrize("form", ["folders", "list", "csv", "parquet", "huggingface"])
def test_every_form_of_the_same_images_gives_the_same_split(form: str, tmp_path: Path):
    entry, order = write_forms(tmp_path)[form]
    by_name = dict(zip(write_pictures(tmp_path / "again"), zip(PIXELS, LABELS, strict=True), strict=True))
    for split in (prepared(own(entry), tmp_path / form), read_images(entry, 32)):
        assert split.description.classes == NAMES
        assert split.labels.tolist() == [by_name[name][1] for name in order]
        plain = read_images(tmp_path / "images", 32)
        places = [sorted(order).index(name) for name in order]
        assert np.array_equal(split.images, plain.images[places])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("where,label\na.png,1\n", "has no column of paths"),
        ("path,label\na.png\n", "line 2 has 1 values, but there are 2 columns"),
        ("path,label\n", "names no image"),
        ("path,label\nnowhere.png,1\n", "1 of 1 images that .* names are not in"),
    ],
)
def test_a_table_that_names_no_images_is_refused(text: str, sentence: str, tmp_path: Path):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        read_images(tmp_path / "table.csv", 32)


def test_images_without_labels_are_read_too(tmp_path: Path):
    write_pictures(tmp_path)
    split = read_images(tmp_path, 32, labelled=False)
    assert split.images.shape == (12, 32, 32, 3) and not split.description.labels
