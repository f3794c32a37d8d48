"""Images on disk as a split, in Python: the same as a configuration's, whatever their form."""

from pathlib import Path

import numpy as np
import pytest
import yaml

import fig
from fig.data.arrays import open_split
from fig.data.catalogue import IdDataset, Part, datasets_of
from fig.data.reading import read_images
from support.forms import (
    CLASSES,
    FORMS,
    LABELS,
    encode,
    own,
    prepared,
    rows_of,
    write_csv,
    write_folder,
    write_list,
    write_zip,
)
from support.workspace import ROOT, blocks


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_as_a_configuration_prepares_it(form: str, tmp_path: Path):
    entry = FORMS[form](tmp_path)
    found, expected = fig.read_images(entry, 32), prepared(own(entry), tmp_path)
    assert isinstance(found.images, np.ndarray) and not isinstance(found.images, np.memmap)
    assert np.array_equal(found.images, expected.images) and found.description.sha256 == expected.description.sha256
    assert found.labels.tolist() == LABELS and found.description.classes == CLASSES


@pytest.mark.parametrize("kind", [str, Path, lambda path: {"path": path}, lambda path: Part(path=path)])
def test_a_place_is_a_path_or_an_entry(kind: type, tmp_path: Path, capsys: pytest.CaptureFixture):
    write_folder(tmp_path / "pets")
    assert read_images(kind(str(tmp_path / "pets")), 16).images.shape == (12, 16, 16, 3)
    assert "pets train: 100%" in capsys.readouterr().err


def test_images_that_are_kept_stay_on_disk(tmp_path: Path):
    write_folder(tmp_path / "pets")
    kept = read_images(tmp_path / "pets", 16, keep=tmp_path / "made" / "pets.npy")
    assert isinstance(kept.images, np.memmap)
    again = open_split(tmp_path / "made" / "pets.npy")
    assert np.array_equal(again.images, read_images(tmp_path / "pets", 16).images) and again.labels.tolist() == LABELS


def test_images_without_labels_are_read_from_any_folder(tmp_path: Path):
    (tmp_path / "holidays").mkdir()
    (tmp_path / "holidays" / "sea.png").write_bytes(encode(np.zeros((9, 12, 3), np.uint8)))
    split = read_images(tmp_path / "holidays", 8, labelled=False)
    assert split.images.shape == (1, 8, 8, 3) and not len(split.labels)
    with pytest.raises(ValueError, match=r"sea\.png lies in no class folder"):
        read_images(tmp_path / "holidays", 8)


def test_test_images_have_the_labels_of_training_and_are_none_of_its_images(tmp_path: Path):
    write_folder(tmp_path / "pets")
    train = read_images(tmp_path / "pets", 16)
    (tmp_path / "test" / "cow").mkdir(parents=True)
    (tmp_path / "test" / "bee").mkdir()
    for number, kind in enumerate(("bee", "cow", "cow")):
        (tmp_path / "test" / kind / f"{number}.png").write_bytes(encode(np.full((9, 9, 3), number, np.uint8)))
    assert read_images(tmp_path / "test", 16, "test", train=train).labels.tolist() == [1, 2, 2]
    with pytest.raises(ValueError, match="12 test images are also training images, byte for byte"):
        read_images(tmp_path / "pets", 16, "test", train=train)


def test_what_else_a_tables_folder_holds_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    entry = write_list(tmp_path)
    (tmp_path / "images" / "list.txt").write_text((tmp_path / "list.txt").read_text())
    monkeypatch.setattr("fig.data.archives.os.walk", lambda path: pytest.fail(f"walks through {path}"))
    assert list(read_images(entry, 16).description.made["sources"]) == ["list.txt"]
    assert read_images(tmp_path / "images" / "list.txt", 16).labels.tolist() == LABELS


def test_the_page_on_ones_own_images_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_folder(Path("pets/images"))
    for name, rows in (("train", rows_of()[1::2]), ("test", rows_of()[::2])):
        write_csv(Path(f"pets/{name}.csv"), [("path", "label"), *rows])
    write_zip(Path())
    Path("all.zip").rename("holidays.zip")
    (_, python), (stated,) = (blocks(ROOT / "docs" / "data.md", language) for language in ("python", "yaml"))
    scope: dict = {}
    exec(python, scope)
    assert [len(scope[name].images) for name in ("train", "test", "other")] == [6, 6, 12]
    assert scope["test"].description.classes == CLASSES
    assert isinstance(datasets_of(yaml.safe_load(stated)["datasets"])["pets"], IdDataset)
