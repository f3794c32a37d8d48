"""Lists and tables of images: every form of the same images gives the same split, and what is wrong is refused."""

from pathlib import Path

import pytest

from fig.data.catalogue import datasets_of, files_of, recipe
from fig.study.checks import check_own_dataset
from fig.study.config import ConfigError
from support.forms import FORMS, LABELS, NAMES, check_form, own, prepared, rows_of, write_csv, write_folder


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_images_gives_the_same_split(form: str, tmp_path: Path):
    check_form(FORMS[form], tmp_path)


def test_numbers_as_labels_are_in_the_order_of_their_values(tmp_path: Path):
    write_folder(tmp_path)
    (tmp_path / "list.txt").write_text("".join(f"{name} {11 - row}\n" for row, name in enumerate(NAMES)))
    split = prepared(own({"path": str(tmp_path / "list.txt")}), tmp_path)
    assert split.labels.tolist() == list(range(11, -1, -1)) and split.description.classes[-2:] == ["10", "11"]


@pytest.mark.parametrize("label", [" -1", ""])
def test_an_image_list_of_an_ood_set_has_no_labels(label: str, tmp_path: Path):
    write_folder(tmp_path)
    (tmp_path / "list.txt").write_text("".join(f"{name}{label}\n" for name in NAMES))
    split = prepared({"images": {"path": str(tmp_path / "list.txt")}}, tmp_path, "pets-r-antialias", "test")
    assert len(split.images) == 12 and not len(split.labels) and not split.description.classes


def test_an_id_set_whose_images_lack_labels_is_refused_with_their_count(tmp_path: Path):
    write_folder(tmp_path)
    (tmp_path / "list.txt").write_text(
        "".join(f"{name} {row - 2 if row > 1 else -1}\n" for row, name in enumerate(NAMES))
    )
    with pytest.raises(ValueError, match=r"pets train: 2 of 12 images have no label, the first is ant/00\.png"):
        prepared(own({"path": str(tmp_path / "list.txt")}), tmp_path)


@pytest.mark.parametrize("name", ["../secret.png", "/secret.png", "ant/../../secret.png"])
def test_a_list_that_leads_out_of_its_folder_is_refused_with_a_count(name: str, tmp_path: Path):
    write_folder(tmp_path / "images")
    (tmp_path / "images" / "list.txt").write_text("\n".join([f"{NAMES[0]} 0", f"{name} 1", f"{name} 0"]))
    with pytest.raises(ValueError, match=r"list\.txt names 2 images outside of .*images, the first is .*secret\.png"):
        prepared(own({"path": str(tmp_path / "images" / "list.txt")}), tmp_path)


def test_an_absolute_name_within_the_folder_is_taken(tmp_path: Path):
    write_folder(tmp_path / "images")
    (tmp_path / "list.txt").write_text("".join(f"{tmp_path}/images/{name} {name[:3]}\n" for name in NAMES))
    assert prepared(own({"path": str(tmp_path / "list.txt")}), tmp_path).labels.tolist() == LABELS


def test_images_that_are_missing_are_refused_with_a_count(tmp_path: Path):
    write_folder(tmp_path)
    (tmp_path / "list.txt").write_text("\n".join([f"{NAMES[0]} 0", "ant/no.png 1", "ant/neither.png 1"]))
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
    write_folder(tmp_path)
    Path("list.txt").touch()
    with pytest.raises(ConfigError, match=r"datasets\.pets\.train: list\.txt names images in \., which holds the runs"):
        check_own_dataset("pets", datasets_of({"pets": own({"path": "list.txt"}) | {"test_share": 0.5}})["pets"])


def write_rows(folder: Path, *rows: tuple[str, ...]) -> dict:
    write_folder(folder / "images")
    return {"path": str(write_csv(folder / "all.csv", list(rows)))}


def test_a_table_without_labels_is_an_ood_set_and_no_id_set(tmp_path: Path):
    part = write_rows(tmp_path, ("image", "width"), *((name, "40") for name, _ in rows_of()))
    split = prepared({"images": part}, tmp_path, "pets-r-antialias", "test")
    assert len(split.images) == 12 and not len(split.labels)
    with pytest.raises(ValueError, match=r"no column called label, class, .*, only image, width: state label_column"):
        prepared(own(part), tmp_path)


@pytest.mark.parametrize(
    ("rows", "more", "reason"),
    [
        ([("name", "label"), *rows_of()], {}, r"has no column called path, image, .*: state image_column"),
        ([("path", "label"), *rows_of()], {"label_column": "kind"}, "has no column kind, only path, label"),
        ([("path", "label"), ("", "ant"), *rows_of()], {}, "1 of 13 rows name no image, the first is row 1"),
        ([("path", "label")], {}, "names no image"),
        (
            [("path", "label"), *rows_of(), ("a.png",)],
            {},
            r"1 of 13 rows have more or fewer values .* \(2\), .* row 13",
        ),
        ([("path", "label"), *rows_of()[:4], *((name, "") for name, _ in rows_of()[4:])], {}, "8 of 12 .* no label"),
        ([("path", "label"), *((name, "ant") for name, _ in rows_of())], {}, "one class only, ant"),
    ],
)
def test_tables_that_are_no_data_set_are_refused(rows: list, more: dict, reason: str, tmp_path: Path):
    part = write_rows(tmp_path, *rows)
    with pytest.raises(ValueError, match=reason):
        prepared(own(part | more), tmp_path)


def test_a_table_in_another_encoding_is_refused(tmp_path: Path):
    write_csv(tmp_path / "all.csv", [("path", "label"), ("käse.png", "ant")], encoding="latin-1")
    with pytest.raises(ValueError, match=r"all\.csv is no text in UTF-8"):
        prepared(own({"path": str(tmp_path / "all.csv")}), tmp_path)


def test_classes_that_are_named_are_taken_from_a_table_in_that_order(tmp_path: Path):
    part = write_rows(tmp_path, ("path", "label"), *rows_of()) | {"classes": ["cow", "ant"]}
    split = prepared(own(part), tmp_path)
    assert split.description.classes == ["cow", "ant"] and split.labels.tolist() == [1] * 4 + [0] * 4
