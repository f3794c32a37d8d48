"""Tables, lists, databases and catalogue entries made to do harm: each is refused by its name, or read rightly."""

import os
import random
from io import BytesIO
from pathlib import Path

import datasets
import lmdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fig.commands.options import prepare_images
from fig.data.catalogue import datasets_of
from fig.data.download import look_up_hash
from support.archives import lsun, zipped
from support.hostile_data import PETS, check_bounded, check_refused, encode, read, write_files

GIB = 1 << 30
WHOLE = ("that can be read (", "copy or download it again")
ROWS = [(f"img/{name}", name[:3]) for name, _ in PETS]
TEXT = "path,label\n" + "".join(f"{name},{label}\n" for name, label in ROWS)
IMAGES = {"image": [content for _, content in PETS], "label": [label for _, label in ROWS]}


def parquet(metadata: bytes = b"", **columns: object) -> bytes:
    file, table = BytesIO(), pa.table(columns)
    table = table.replace_schema_metadata({b"huggingface": metadata}) if metadata else table
    pq.write_table(table, file, compression="none")
    return file.getvalue()


PARQUET = parquet(**IMAGES)
MIDDLE = PARQUET.index(b"IDAT")
TEXTS: dict[str, tuple[str, bytes | str, tuple[str, ...]]] = {
    "UTF-16": ("a.csv", TEXT.encode("utf-16"), ("is no text in UTF-8", "save it as that")),
    "UTF-16 without its mark": ("a.csv", TEXT.encode("utf-16-le"), ("is no text in UTF-8", "zero bytes")),
    "a zero byte in a table": ("a.csv", TEXT.replace("cat/0", "cat/\0"), ("is no text in UTF-8", "zero bytes")),
    "a zero byte in a list": ("a.txt", "img/cat/0\0.png 1\n", ("is no text in UTF-8", "zero bytes")),
    "no text": ("a.csv", random.Random(0).randbytes(500), ("is no text in UTF-8",)),
    "no bytes": ("a.csv", b"", ("has no column called path", "state image_column")),
    "an empty list": ("a.txt", b"", ("names no image",)),
    "blank lines": ("a.csv", "\n\n\n", ("has no column called path", "state image_column")),
    "a quote that is not closed": ("a.csv", TEXT + '"img/cat', ("1 of 7 rows have more or fewer values", "row 7")),
    "half a row": ("a.csv", TEXT[:-5], ("1 of 6 rows have more or fewer values", "row 6")),
    "a value of 200 kB": ("a.csv", TEXT + "x" * 200_000 + ",cat\n", ("is no table", "field limit")),
    "no column of images": ("a.csv", TEXT.replace("path", "picture"), ("only picture, label: state image_column",)),
    "no column of labels": ("a.tsv", "path\tkind\nimg/cat/0.png\t1\n", ("only path, kind: state label_column",)),
    "a name that leads out": ("a.csv", TEXT + "../x.png,cat\n", ("names 1 images outside of", "../x.png")),
    "a name that leads out in the middle": ("a.csv", TEXT + "img/../../x.png,cat\n", ("names 1 images outside of",)),
    "a device": ("a.txt", "img/cat/0.png 0\n/dev/zero 1\n", ("names 1 images outside of", "/dev/zero")),
    "a folder": ("a.csv", TEXT + "img/cat,cat\n", ("1 of 7 images", "are not in", "img/cat")),
    "an address": ("a.csv", TEXT + "https://e.org/x.png,cat\n", ("1 of 7 images", "are not in", "https:/e.org/x.png")),
    "a name of 500 bytes": ("a.csv", TEXT + f"{'a' * 500},cat\n", ("1 of 7 images", "are not in")),
}
TABLES: dict[str, tuple[str, bytes | str, tuple[str, ...]]] = {
    "half a Parquet file": ("a.parquet", PARQUET[: len(PARQUET) // 2], WHOLE),
    "a Parquet file without its last bytes": ("a.parquet", PARQUET[:-10], WHOLE),
    "an empty Parquet file": ("a.parquet", b"", WHOLE),
    "no Parquet file": ("a.parquet", TEXT, WHOLE),
    "a Parquet file whose foot changed": ("a.parquet", PARQUET[:-60] + bytes(20) + PARQUET[-40:], WHOLE),
    "no images in a Parquet file": ("a.parquet", parquet(image=[b"no"] * 2, label=["a", "b"]), ("2 of 2 images",)),
    "an image that changed": ("a.parquet", PARQUET[:MIDDLE] + b"XXXX" + PARQUET[MIDDLE + 4 :], ("cannot be read",)),
    "nulls": ("a.parquet", parquet(image=[None], label=["a"]), ("column image is of type null",)),
    "numbers": ("a.parquet", parquet(image=[1], label=["a"]), ("column image is of type int64",)),
    "a null among paths": ("a.parquet", parquet(path=["a", None], label=["a", "b"]), ("1 of 2 rows name no image",)),
    "a path that leads out": ("a.parquet", parquet(path=["/etc/x.png"], label=["a"]), ("1 images outside of",)),
    "broken features": ("a.parquet", parquet(b"{no", **IMAGES), WHOLE),
    "features of another form": ("a.parquet", parquet(b"[]", **IMAGES), WHOLE),
    "a feature of another form": ("a.parquet", parquet(b'{"info": {"features": {"image": 1}}}', **IMAGES), WHOLE),
}
REFUSED = TEXTS | TABLES


@pytest.mark.parametrize("case", REFUSED)
def test_a_table_that_is_hostile_or_not_whole_is_refused_by_its_name(case: str, tmp_path: Path):
    name, content, words = REFUSED[case]
    write_files(tmp_path / "img", PETS)
    write_files(tmp_path, [(name, content.encode() if isinstance(content, str) else content)])
    check_refused(tmp_path / name, tmp_path, name, *words)


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.npy", "a.npz", "a.parquet"])
def test_a_pipe_in_the_place_of_a_table_or_array_is_refused_and_not_waited_for(name: str, tmp_path: Path):
    os.mkfifo(tmp_path / name)
    check_refused(tmp_path / name, tmp_path, f"{name} is no file")


ODD = {
    "line breaks in quotes": 'path,label\n"img/cat/0.png","c\nat"\n"img/dog/0.png",dog\n',
    "lines that end as on a Mac": TEXT.replace("\n", "\r"),
    "a byte order mark": "\ufeff" + TEXT,
    "a column twice": "path,path,label\nimg/cat/0.png,x,cat\nimg/dog/0.png,x,dog\n",
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_table_is_read(case: str, tmp_path: Path):
    write_files(tmp_path / "img", PETS)
    write_files(tmp_path, [("a.csv", ODD[case].encode())])
    split = read(tmp_path / "a.csv")
    assert len(split.description.classes) == 2 and len(split.images) == ODD[case].count(".png")


def test_a_column_of_numbers_is_no_column_of_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fig.data.listing.MOST_CLASSES", 5)
    write_files(tmp_path / "img", PETS)
    lines = [f"{name},{row}" for row, (name, _) in enumerate(ROWS)]
    write_files(tmp_path, [("a.csv", "\n".join(["path,label", *lines]).encode())])
    check_refused(tmp_path / "a.csv", tmp_path, "labels out of range, there would be 6 classes, above 5")


@pytest.mark.slow
def test_a_parquet_file_that_unpacks_to_thousands_of_times_its_size_is_refused(tmp_path: Path):
    zeros = pa.array([bytes(1 << 24)], pa.binary()).take(pa.array([0] * 20))
    table = pa.table({"image": zeros, "label": ["a"] * 20})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", use_dictionary=False)
    words = ("a.parquet is refused: a group of its rows would unpack to", "write smaller groups")
    check_bounded(tmp_path / "a.parquet", tmp_path, "table", GIB, *words)


SAVED = {
    "state.json": ["", "{", "[]", "{}", '{"_data_files": 1}', '{"_data_files": [{"filename": "../x.arrow"}]}'],
    "data-00000-of-00001.arrow": ["", "no table", "\xff\xff\xff\xff\xff\xff\xff\x7f"],
}


@pytest.mark.parametrize(("name", "content"), [(name, each) for name, found in SAVED.items() for each in found])
def test_a_saved_data_set_that_is_not_whole_is_refused_by_its_file(name: str, content: str, tmp_path: Path):
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(IMAGES).save_to_disk(tmp_path / "saved")
    assert len(read(tmp_path / "saved").images) == 6
    (tmp_path / "saved" / name).write_text(content, encoding="latin-1")
    check_refused(tmp_path / "saved", tmp_path, str(tmp_path / "saved" / name))


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("size", [0, 100, 4096, 6000, 8192, 12287])
def test_an_lmdb_that_is_truncated_is_refused_and_ends_no_process(kind: str, size: int, tmp_path: Path):
    lsun(tmp_path)
    content = (tmp_path / "test_lmdb" / "data.mdb").read_bytes()
    assert len(content) == 12288
    where = tmp_path / "test_lmdb"
    if kind == "zip":
        where = tmp_path / "a.zip"
        where.write_bytes(zipped({"test_lmdb/data.mdb": content[:size]}))
    else:
        (where / "data.mdb").write_bytes(content[:size])
    words = "is truncated" if size >= 6000 else "is no LMDB that can be read ("
    check_refused({"path": str(where), "reader": "lmdb"}, tmp_path, f"{where} {words}", WHOLE[1], labelled=False)


def test_an_lmdb_of_what_are_no_images_is_refused_with_a_count(tmp_path: Path):
    with lmdb.open(str(tmp_path / "db"), map_size=1 << 20) as database, database.begin(write=True) as transaction:
        transaction.put(b"\xff\xfe", b"no image")
        transaction.put(b"good", encode())
    (tmp_path / "db" / "lock.mdb").unlink()
    part = {"path": str(tmp_path / "db"), "reader": "lmdb"}
    check_refused(part, tmp_path, "1 of 2 images cannot be read", r"the first is \xff\xfe", labelled=False)


URL = "https://e.org/a.zip"
ENTRIES: dict[str, tuple[object, str]] = {
    "no mapping": (None, "datasets.x is None: it must be a mapping of keys to values"),
    "a list": ([1], "datasets.x is [1]: it must be a mapping of keys to values"),
    "no address": ({}, "files[0].url is missing"),
    "an empty address": ({"url": ""}, "files[0].url: an address must begin with https://"),
    "a path": ({"url": "/etc/passwd"}, "must begin with https://"),
    "a file's address": ({"url": "file:///etc/passwd"}, "must begin with https://"),
    "another protocol": ({"url": "ftp://e.org/a.zip"}, "must begin with https://"),
    "an address with a line break": ({"url": "https://e.org/a\nb"}, "and hold no spaces"),
    "an address without a name": ({"url": "https://e.org/"}, "'' is no name for a file"),
    "an address that leads out": ({"url": "https://e.org/.."}, "'..' is no name for a file"),
    "a name that leads out": ({"url": URL, "name": "../../x"}, "'../../x' is no name for a file"),
    "an absolute name": ({"url": URL, "name": "/etc/passwd"}, "is no name for a file"),
    "a name with folders": ({"url": URL, "name": "a/b"}, "state another as name"),
    "a hidden name": ({"url": URL, "name": ".partial-x"}, "state another as name"),
    "a name with braces": ({"url": URL, "name": "{x}"}, "state another as name"),
    "an unknown hash": ({"url": URL, "hash": "sha1:aa"}, "files[0].hash is 'sha1:aa'"),
    "a size below 0": ({"url": URL, "size": -1}, "files[0].size is -1: it must be at least 0"),
    "an unknown key": ({"url": URL, "hsah": ""}, "files[0].hsah: unknown key (did you mean 'hash'?)"),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_a_catalogue_entry_that_is_wrong_is_refused_by_its_key(case: str):
    stated, sentence = ENTRIES[case]
    entry = {"train": {"files": [stated]}, "size": 32, "test_share": 0.5} if isinstance(stated, dict) else stated
    with pytest.raises(ValueError) as refusal:
        datasets_of({"x": entry})
    assert str(refusal.value).startswith("datasets.x") and sentence in str(refusal.value)


@pytest.mark.parametrize("content", ["{", "a: b: c", "[1]", "https://e.org/a: 5", "!!python/object:os.system {}", "\0"])
def test_a_record_of_hashes_that_is_damaged_is_refused_by_its_name(content: str, tmp_path: Path):
    (tmp_path / "data.lock.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"data\.lock\.yaml is no record of hashes .*: restore it, or delete it"):
        look_up_hash(tmp_path / "data.lock.yaml", URL)


def test_an_array_alone_has_no_labels_for_detect_and_says_what_to_give(tmp_path: Path):
    (tmp_path / "a.npy").touch()
    with pytest.raises(ValueError, match=r"a\.npy is an array without labels, .*: give class folders, an \.npz"):
        prepare_images(tmp_path / "a.npy", tmp_path, 32)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
