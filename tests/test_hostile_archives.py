"""Archives made to do harm: each is refused by its name or read within bounds, and nothing is unpacked."""

import gzip
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fig.data import archives
from support.hostile_data import PETS, check_bounded, check_refused, encode, header, read, tarred, write_files, zipped

GIB = 1 << 30
NOISE = np.random.default_rng(0).bytes(60_000)
MORE = [*PETS, ("cat/more.png", NOISE)]  # of which half an archive is less than its first members


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def changed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data and len(old) == len(new)
    return data.replace(old, new)


def begun(size: int, form: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A tar file that begins with a header which states this size."""
    return header(kind, size).tobuf(form) + tarred(PETS)


REFUSED: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "a zip that leads out": ("a.zip", zipped([*PETS, ("../x.png", b"")]), ("../x.png would lie outside",)),
    "an absolute name in a zip": ("a.zip", zipped([*PETS, ("/etc/x.png", b"")]), ("/etc/x.png would lie outside",)),
    "a name that leads out in the middle": ("a.tar", tarred([*PETS, ("a/../../x.png", b"")]), ("would lie outside",)),
    "an absolute name in a tar": ("a.tar.gz", tarred([*PETS, ("/etc/x.png", b"")], "w:gz"), ("would lie outside",)),
    "a symbolic link in a zip": ("a.zip", zipped(PETS, mode=stat.S_IFLNK | 0o777), ("dog/2.png is a link",)),
    "a device in a zip": ("a.zip", zipped(PETS, mode=stat.S_IFBLK | 0o666), ("is a link or a device",)),
    "a pipe in a zip": ("a.zip", zipped(PETS, mode=stat.S_IFIFO | 0o666), ("is a link or a device",)),
    "a symbolic link": ("a.tar", tarred(PETS, "w", header(tarfile.SYMTYPE)), ("cat/x.png is a link or a device",)),
    "a hard link": ("a.tar", tarred(PETS, "w", header(tarfile.LNKTYPE)), ("cat/x.png is a link or a device",)),
    "a character device": ("a.tar", tarred(PETS, "w", header(tarfile.CHRTYPE)), ("is a link or a device",)),
    "a block device": ("a.tar", tarred(PETS, "w", header(tarfile.BLKTYPE)), ("is a link or a device",)),
    "a pipe": ("a.tar", tarred(PETS, "w", header(tarfile.FIFOTYPE)), ("is a link or a device",)),
    "half a zip": ("a.zip", half(zipped(PETS)), ("is truncated", "download it again")),
    "a zip without its last bytes": ("a.zip", zipped(PETS)[:-10], ("is truncated", "download it again")),
    "half a tar": ("a.tar", half(tarred(MORE)), ("is truncated", "download it again")),
    "half a gzip": ("a.tar.gz", half(tarred(MORE, "w:gz")), ("is truncated", "download it again")),
    "a gzip without its last bytes": ("a.tgz", tarred(MORE, "w:gz")[:-8], ("is truncated", "download it again")),
    "half a bzip2": ("a.tar.bz2", half(tarred(MORE, "w:bz2")), ("is truncated", "download it again")),
    "half an xz": ("a.tar.xz", half(tarred(MORE, "w:xz")), ("is truncated", "download it again")),
    "a tar cut between two members": ("a.tar", tarred(PETS)[: 4 * 1024], ("is truncated", "download it again")),
    "an encrypted zip": ("a.zip", zipped(PETS, flags=1), ("is encrypted", "unpack it with its password")),
    "a zip whose bytes changed": ("a.zip", changed(zipped(PETS), b"IDAT", b"IDAX"), ("is damaged", "cat/0.png")),
    "a gzip whose bytes changed": ("a.tar.gz", tarred(MORE, "w:gz")[:-8] + bytes(8), ("is damaged", "again")),
    "a tar with a damaged header": ("a.tar", changed(tarred(PETS), b"dog/1.png", b"dog/9.png"), ("is damaged",)),
    "a name of -512 bytes": (
        "a.tar",
        begun(-512, tarfile.GNU_FORMAT, tarfile.GNUTYPE_LONGNAME),
        ("is damaged", "-512"),
    ),
    "a member of -512 bytes": ("a.tar", begun(-512, tarfile.GNU_FORMAT), ("is damaged", "-512")),
    "attributes that say -5120 bytes": ("a.tar", begun(-5120, tarfile.PAX_FORMAT), ("is damaged", "-5120")),
    "a name of a gigabyte": (
        "a.tar",
        begun(GIB, tarfile.GNU_FORMAT, tarfile.GNUTYPE_LONGNAME),
        ("is damaged", "again"),
    ),
    "an unknown compression": (
        "a.zip",
        changed(zipped(PETS), b"PK\1\2\x14\x03\x14\0\0\0\0\0", b"PK\1\2\x14\x03\x14\0\0\0\x63\0"),
        ("cannot be read", "unpack it"),
    ),
    "nothing": ("a.zip", b"", ("is empty", "again")),
    "an empty zip": ("a.zip", zipped([]), ("there are no images",)),
    "an archive in an archive": ("a.zip", zipped([("inner.zip", zipped(PETS))]), ("there are no images",)),
    "a compressed image": ("a.gz", gzip.compress(encode()), ("neither a folder nor a zip or tar file",)),
    "another kind of archive": ("a.rar", b"Rar!\x1a\7\0" + NOISE, ("neither a folder nor a zip or tar file",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_archive_that_is_hostile_or_not_whole_is_refused_by_its_name(case: str, tmp_path: Path):
    name, content, words = REFUSED[case]
    write_files(tmp_path, [(name, content)])
    check_refused(tmp_path / name, tmp_path, str(tmp_path / name), *words)


READ: dict[str, tuple[str, Callable[[], bytes], int]] = {
    "names there twice": ("a.zip", lambda: zipped([*PETS, PETS[0]]), 6),
    "names there twice in a tar": ("a.tar", lambda: tarred([*PETS, PETS[0]]), 6),
    "names that differ by case": ("a.zip", lambda: zipped([*PETS, ("cat/0.PNG", encode())]), 7),
    "an archive among images": ("a.zip", lambda: zipped([("inner.zip", zipped(PETS)), *PETS]), 6),
    "a zip at the end of a tar": ("a.tar", lambda: tarred([*PETS, ("inner.zip", zipped(PETS[:3]))]), 6),
    "a name of 60,000 bytes": ("a.zip", lambda: zipped([*PETS, (f"cat/{'a' * 60_000}.png", encode())]), 7),
    "a name in 10,000 folders": ("a.tar", lambda: tarred([*PETS, (f"cat/{'a/' * 10_000}x.png", encode())]), 7),
    "a name of a Windows path": ("a.zip", lambda: zipped([*PETS, ("cat/C:\\x.png", encode())]), 7),
    "a name with a line break": ("a.tar", lambda: tarred([*PETS, ("cat/\n.png", encode())]), 7),
    "a name that is no text": ("a.tar", lambda: tarred([*PETS, ("cat/\udcff.png", encode())]), 7),
    "folders as members": ("a.tar", lambda: tarred(PETS, "w", header(tarfile.DIRTYPE, name="cat")), 6),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", READ)
def test_an_odd_archive_is_read_and_nothing_is_unpacked(case: str, tmp_path: Path):
    name, build, count = READ[case]
    write_files(tmp_path, [(name, build())])
    split = read(tmp_path / name, tmp_path / "out" / "train.npy")
    assert len(split.images) == count and split.description.classes == ["cat", "dog"]
    assert {path.name for path in tmp_path.rglob("*")} == {name, "out", "train.npy", "train.json"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_of_several_members_of_one_name_the_last_is_taken_as_unpacking_does(pack: Callable, tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(pack([("a", b"first"), ("a", b"last")]))
    with archives.open_archive(path) as archive:
        assert archive.read("a") == b"last"


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_of_too_many_members_is_refused(pack: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archives, "MOST", 5)
    write_files(tmp_path, [("a", pack(PETS))])
    check_refused(tmp_path / "a", tmp_path, "a holds more than 5 members", "unpack it, and state the folder")


def zip_bomb(path: Path) -> None:
    """A member of 1 GiB in 1 MB."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("cat/0.png", "w", force_zip64=True) as file,
    ):
        for _ in range(64):
            file.write(bytes(1 << 24))


def tar_bomb(path: Path) -> None:
    """A name of 1 GiB in 1 MB, which is read whole before its member is known."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header(tarfile.GNUTYPE_LONGNAME, GIB, "././@LongLink").tobuf(tarfile.GNU_FORMAT))
        for _ in range(64):
            file.write(bytes(1 << 24))


def many_images(path: Path) -> None:
    """Sixteen pictures of 64 MB each in 1 MB: fewer than are decoded at a time."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(16):
            archive.writestr(f"cat/{number}.png", bytes(1 << 26))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "words"),
    [
        (zip_bomb, ("a is refused: its member cat/0.png would unpack to 1073741824 bytes",)),
        (tar_bomb, ("a is damaged", "a header states 1073741824 bytes")),
        (many_images, ("16 of 16 images cannot be read", "cat/0.png")),
    ],
)
def test_a_bomb_is_refused_within_a_gibibyte_of_memory(build: Callable, words: tuple[str, ...], tmp_path: Path):
    build(tmp_path / "a")
    check_bounded(tmp_path / "a", tmp_path, "images", GIB, *words)


def test_a_link_to_a_class_folder_is_followed(tmp_path: Path):
    write_files(tmp_path / "elsewhere", [(name.partition("/")[2], content) for name, content in PETS[:3]])
    write_files(tmp_path / "pets", PETS[3:])
    (tmp_path / "pets" / "cat").symlink_to(tmp_path / "elsewhere")
    split = read(tmp_path / "pets")
    assert split.description.classes == ["cat", "dog"] and split.labels.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("target", [".", "..", "cat"])
def test_a_link_to_a_folder_that_is_read_already_is_refused(target: str, tmp_path: Path):
    write_files(tmp_path / "pets", PETS)
    (tmp_path / "pets" / "again").symlink_to(target)
    check_refused(tmp_path / "pets", tmp_path, "are the same folder: remove the link")


def test_a_path_that_is_a_pipe_or_a_device_is_refused_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pets.zip")
    check_refused(tmp_path / "pets.zip", tmp_path, "pets.zip is neither a folder nor a zip or tar file")
    check_refused(Path("/dev/zero"), tmp_path, "/dev/zero is neither a folder nor a zip or tar file")
