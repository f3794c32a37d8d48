"""Arrays, MATLAB's files and pickles made to do harm: never unpickled, within bounds, and refused by their names."""

import os
import pickle
import struct
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from fig.data.arrays import description_of, open_split, write_description, write_images
from support.archives import cifar10, cifar_records, matlab, tarred
from support.hostile_data import check_bounded, check_refused, read, write_files, zipped

GIB = 1 << 30
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 0, 1])
PIXELS = "not uint8 images (N, height, width[, 1, 3 or 4])"
RANGE = "labels out of range"
WHOLE = ("that can be read (", "copy or download it again")
NO_PICKLE = ("it holds no numbers, and pickles are never loaded",)
SVHN = np.zeros((32, 32, 3, 2), np.uint8)


class Trap:
    """An object whose unpickling runs a command that leaves a file in the working directory."""

    def __reduce__(self):
        return os.system, ("touch sprung",)


def npy(array: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    file = BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def head(text: str, size: int | None = None) -> bytes:
    """The head of a .npy file, which may state another length than its own."""
    return b"\x93NUMPY\2\0" + struct.pack("<I", len(text) if size is None else size) + text.encode()


def shaped(shape: str, content: bytes = b"") -> bytes:
    return head(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}\n") + content


def labelled(labels: np.ndarray) -> tuple[str, bytes]:
    return "a.npz", npz(images=IMAGES, labels=labels)


TRAPS = np.array([Trap()] * 4, dtype=object)
REFUSED: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "images of objects": ("a.npy", npy(TRAPS), NO_PICKLE),
    "images of objects in .npz": ("a.npz", npz(images=TRAPS, labels=LABELS), NO_PICKLE),
    "labels of objects": (*labelled(TRAPS), NO_PICKLE),
    "a pickle": ("a.npy", pickle.dumps(Trap()), NO_PICKLE),
    "a pickle in .npz": ("a.npz", pickle.dumps(Trap()), NO_PICKLE),
    "half an array": ("a.npy", npy(IMAGES)[:400], WHOLE),
    "half a head": ("a.npy", npy(IMAGES)[:20], WHOLE),
    "no bytes": ("a.npy", b"", WHOLE),
    "half an .npz": ("a.npz", npz(images=IMAGES, labels=LABELS)[:400], WHOLE),
    "an .npz whose bytes changed": ("a.npz", npz(images=IMAGES).replace(IMAGES.tobytes(), bytes(768)), WHOLE),
    "a head of 200 kB": ("a.npy", head("{" + " " * 200_000 + "}"), WHOLE),
    "a head that states 4 GB": ("a.npy", head("{}", 0xFFFF_FFFF), WHOLE),
    "a head that is code": ("a.npy", head("__import__('os').system('touch sprung')\n"), WHOLE),
    "a head of 9,000 brackets": ("a.npy", head("(" * 9000), WHOLE),
    "a head that is no text": ("a.npy", head("\0\0"), WHOLE),
    "2^62 images": ("a.npy", shaped(f"({1 << 62}, 8, 8, 3)"), WHOLE),
    "2^40 images": ("a.npy", shaped(f"({1 << 40}, 8, 8, 3)"), WHOLE),
    "2^40 images in .npz": ("a.npz", zipped([("images.npy", shaped(f"({1 << 40}, 8, 8, 3)"))]), WHOLE),
    "-4 images": ("a.npy", shaped("(-4, 8, 8, 3)", bytes(768)), WHOLE),
    "no images": ("a.npy", npy(IMAGES[:0]), ("there are no images",)),
    "images of 0 pixels": ("a.npy", npy(IMAGES[:, :0]), ("there are no images",)),
    "one number": ("a.npy", npy(np.uint8(1)), (PIXELS,)),
    "one image": ("a.npy", npy(IMAGES[0, :, :, 0]), (PIXELS,)),
    "two channels": ("a.npy", npy(IMAGES[..., :2]), (PIXELS,)),
    "channels first": ("a.npy", npy(IMAGES.transpose(0, 3, 1, 2)), (PIXELS, "move the channels to the end")),
    "five axes": ("a.npy", npy(IMAGES[None]), (PIXELS,)),
    "images of floats": ("a.npy", npy(IMAGES / 255), ("float64", PIXELS)),
    "images of NaN": ("a.npy", npy(np.full((4, 8, 8, 3), np.nan)), ("float64", PIXELS)),
    "images of 16 bits, big-endian": ("a.npy", npy(IMAGES.astype(">u2")), (">u2", PIXELS)),
    "negative labels": (*labelled(-LABELS), (RANGE, "from -1", "one integer from 0 up")),
    "labels of floats": (*labelled(LABELS / 2), (RANGE, "float64")),
    "labels of NaN": (*labelled(np.array([0, 1, np.nan, 1])), (RANGE, "from nan")),
    "complex labels": (*labelled(LABELS * 1j), (RANGE, "complex128")),
    "labels that are true or false": (*labelled(LABELS > 0), (RANGE, "bool")),
    "labels of bytes": (*labelled(np.array([b"a", b"b"] * 2)), (RANGE, "|S1")),
    "labels that are dates": (*labelled(LABELS.astype("M8[s]")), (RANGE, "datetime64[s]")),
    "one label": (*labelled(np.array(1)), (RANGE, "for each of the 4 images")),
    "fewer labels than images": (*labelled(LABELS[:2]), (RANGE, "for each of the 4 images")),
    "more labels than images": (*labelled(np.tile(LABELS, 2)), (RANGE, "for each of the 4 images")),
    "labels in two axes": (*labelled(np.eye(4, dtype=int)), (RANGE, "(4, 4)")),
    "a label of 100,000": (*labelled(np.array([0, 1, 100_000, 1])), (RANGE, "there would be 100001 classes")),
    "a label of 2^40": (*labelled(np.array([0, 1, 1 << 40, 1])), (RANGE, "classes, above 100000")),
    "a label of 2^64 - 1": (*labelled(np.array([0, 1, 2**64 - 1, 1], np.uint64)), (RANGE, "above 100000")),
    "no array of images": ("a.npz", npz(labels=LABELS), ("holds labels, but no array called images",)),
    "what is no array": ("a.npz", zipped([("images", b"?")]), ("holds images, which is no array",)),
    "several arrays in .npy": ("a.npy", npz(images=IMAGES), ("name it .npz",)),
    "one array in .npz": ("a.npz", npy(IMAGES), ("name it .npy",)),
    "no MATLAB file": ("a.mat", b"MATLAB 5.0" + bytes(500), WHOLE),
    "half a MATLAB file": ("a.mat", matlab(X=SVHN, y=np.array([[1], [2]]))[:-40], WHOLE),
    "a pickle in the place of SVHN": ("a.mat", pickle.dumps(Trap()), WHOLE),
    "no pixels in SVHN": ("a.mat", matlab(y=np.array([[1], [2]])), ("holds no array X", "is it the right file?")),
    "other pixels in SVHN": ("a.mat", matlab(X=SVHN / 2, y=np.array([[1], [2]])), ("not images (32, 32, 3, N)",)),
    "fewer labels in SVHN": ("a.mat", matlab(X=SVHN, y=np.array([[1]])), ("and N labels from 1 to 10",)),
    "a label of 11 in SVHN": ("a.mat", matlab(X=SVHN, y=np.array([[1], [11]])), ("and N labels from 1 to 10",)),
}


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("case", REFUSED)
def test_an_array_that_is_hostile_or_not_whole_is_refused_by_its_name(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    name, content, words = REFUSED[case]
    monkeypatch.chdir(tmp_path)  # where a trap would spring, and be seen
    write_files(tmp_path, [(name, content)])
    part = {"path": str(tmp_path / name), "reader": "svhn" if name == "a.mat" else "arrays"}
    check_refused(part, tmp_path, str(tmp_path / name), *words)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("half", [False, True], ids=["whole", "truncated"])
def test_cifars_pickles_are_never_loaded(protocol: int, half: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The archive for Python, and pickles under the names of the binary version."""
    monkeypatch.chdir(tmp_path)
    trap = pickle.dumps({"data": Trap(), "labels": Trap()}, protocol)
    trap = trap[: len(trap) // 2] if half else trap
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["batches.meta", "test_batch"]
    python = {f"cifar-10-batches-py/{name}": trap for name in names}
    renamed = {f"cifar-10-batches-bin/{name}.{'txt' if 'meta' in name else 'bin'}": trap for name in names}
    for files, words in ((python, "not one: is it the right archive?"), (renamed, "records of 3073 bytes")):
        (tmp_path / "cifar.tar.gz").write_bytes(tarred(files))
        check_refused({"path": str(tmp_path / "cifar.tar.gz"), "reader": "cifar10"}, tmp_path, "cifar.tar.gz", words)


def test_a_label_that_cifar_has_no_class_for_is_refused(tmp_path: Path):
    wrong = {f"b/data_batch_{number}.bin": cifar_records([number], 1) for number in range(1, 6)}
    wrong |= {"b/batches.meta.txt": b"cat\ndog\n"}
    (tmp_path / "cifar.tar.gz").write_bytes(tarred(wrong))
    part = {"path": str(tmp_path / "cifar.tar.gz"), "reader": "cifar10"}
    check_refused(part, tmp_path, "cifar.tar.gz: labels out of range, 5 of 2 classes")
    (tmp_path / "cifar.tar.gz").write_bytes(cifar10()[:-200])
    check_refused(part, tmp_path, "cifar.tar.gz is truncated: copy or download it again")


@pytest.mark.parametrize("kind", ["a.npy", "a.npz"])
@pytest.mark.parametrize("labels", [LABELS.astype(">i8"), LABELS.astype(">u2"), np.repeat(LABELS, 2)[::2]])
def test_fortran_order_and_big_endian_labels_are_read_rightly(kind: str, labels: np.ndarray, tmp_path: Path):
    fortran = np.asfortranarray(IMAGES)
    assert not fortran.flags.c_contiguous
    np.save(tmp_path / "labels.npy", labels)
    if kind == "a.npy":
        np.save(tmp_path / kind, fortran)
        found = read({"path": str(tmp_path / kind), "labels": str(tmp_path / "labels.npy")})
    else:
        np.savez(tmp_path / kind, images=fortran, labels=labels)
        found = read(tmp_path / kind)
    np.savez(tmp_path / "plain.npz", images=IMAGES, labels=LABELS)
    expected = read(tmp_path / "plain.npz")
    assert np.array_equal(found.images, expected.images) and found.labels.tolist() == LABELS.tolist()


def npz_bomb(path: Path) -> None:
    """Images of 1 GiB in 5 MB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as file:
            file.write(shaped("(21845, 128, 128, 3)"))
            for _ in range(64):
                file.write(bytes(1 << 24))
        archive.writestr("labels.npy", npy(np.zeros(21845, int)))


@pytest.mark.slow
def test_an_npz_that_unpacks_to_a_gibibyte_is_refused_within_that_memory(tmp_path: Path):
    npz_bomb(tmp_path / "a.npz")
    words = ("a.npz is refused: its images.npy would unpack to", "above 100 times its", "save it as .npy")
    check_bounded(tmp_path / "a.npz", tmp_path, "arrays", GIB, *words)


@pytest.mark.parametrize("name", ["train.npy", "train.json"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"{", b"[1]", b'{"mine": 1}', b"\xff" * 99])
def test_a_prepared_split_that_is_not_whole_is_refused_by_its_name(name: str, content: bytes, tmp_path: Path):
    path = tmp_path / "train.npy"
    write_description(path, write_images(path, [IMAGES]), [], [], {})
    assert len(open_split(path).images) == 4 and description_of(path).count == 4
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{tmp_path}/{name} is no .*: prepare it again"):
        open_split(path)
