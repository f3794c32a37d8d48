"""One's own data: folders, archives and arrays of any kind of image, and what is wrong with some of them."""

import pickle
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fig.data.arrays import Split, description_of, open_split
from fig.data.catalogue import Recipe
from fig.data.prepare import prepare

DRAW = np.random.default_rng(0)


def picture(mode: str = "RGB", size: tuple[int, int] = (40, 36), kind: str = "PNG") -> bytes:
    """An encoded image of noise in a colour mode."""
    image = Image.fromarray(DRAW.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).convert(mode)
    file = BytesIO()
    image.save(file, kind)
    return file.getvalue()


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def pets(count: int = 3) -> dict[str, bytes]:
    return {f"{kind}/{number}.png": picture() for kind in ("cat", "dog") for number in range(count)}


def made(
    source: Path, tmp_path: Path, *more: Path, split: str = "train", train: Path | None = None, **changes
) -> Split:
    """What `prepare` makes of one's own images, at 32 x 32."""
    settings = {"reader": "classes", "split": split, "size": 32, "way": "centre", "short": 32}
    settings |= {"labelled": True, "own": True} | changes
    output = tmp_path / "data" / "32" / "pets" / f"{split}.npy"
    output.parent.mkdir(parents=True, exist_ok=True)
    prepare(output, [source, *more], Recipe(**settings), train=description_of(train) if train else None)
    return open_split(output)


def archived(path: Path, files: dict[str, bytes]) -> Path:
    """A zip or tar file, by the name's ending."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, f"w:{path.suffix[1:]}" if path.suffix != ".tar" else "w") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, BytesIO(content))
    return path


@pytest.mark.parametrize("kind", ["folder", "pets.zip", "pets.tar", "pets.tar.gz", "pets.tar.xz"])
def test_class_folders_are_read_from_a_folder_and_from_any_archive(kind: str, tmp_path: Path):
    files = {f"all/train/{name}": content for name, content in pets().items()} | {"all/readme.txt": b"hello"}
    source = folder_of(tmp_path / kind, files) if kind == "folder" else archived(tmp_path / kind, files)
    split = made(source, tmp_path, under="all/train")
    assert split.images.shape == (6, 32, 32, 3) and split.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert split.description.classes == ["cat", "dog"]


def test_classes_that_are_named_are_taken_alone_and_numbered_in_that_order(tmp_path: Path):
    files = pets() | {"bird/0.png": picture()}
    source = folder_of(tmp_path / "pets", files)
    some, every = made(source, tmp_path / "some", classes=("dog", "bird")), made(source, tmp_path / "every")
    assert some.description.classes == ["dog", "bird"] and some.labels.tolist() == [1, 0, 0, 0]
    assert np.array_equal(some.images, every.images[every.labels != every.description.classes.index("cat")])
    with pytest.raises(ValueError, match="there is no class cow, only bird, cat, dog"):
        made(source, tmp_path / "none", classes=("cow",))


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK"])
def test_images_of_any_colour_mode_become_rgb(mode: str, tmp_path: Path):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    files = pets() | {f"cat/odd.{kind.lower()}": picture(mode, kind=kind)}
    assert made(folder_of(tmp_path / "pets", files), tmp_path).images.shape == (7, 32, 32, 3)


def test_grey_pixels_are_repeated(tmp_path: Path):
    images = DRAW.integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)
    np.savez(tmp_path / "pets.npz", images=images, labels=np.array([0, 1, 0, 1]))
    split = made(tmp_path / "pets.npz", tmp_path, reader="arrays")
    assert np.array_equal(split.images, np.repeat(images, 3, axis=-1)) and split.labels.tolist() == [0, 1, 0, 1]


def test_transparent_pixels_are_flattened_and_labels_may_be_texts(tmp_path: Path):
    images = DRAW.integers(0, 256, (3, 32, 32, 4), dtype=np.uint8)
    np.savez(tmp_path / "pets.npz", images=images, labels=np.array(["dog", "cat", "dog"]))
    split, alpha = made(tmp_path / "pets.npz", tmp_path, reader="arrays"), images[..., 3:] / 255
    assert abs(split.images - (images[..., :3] * alpha + 255 * (1 - alpha))).max() <= 0.5
    assert split.labels.tolist() == [1, 0, 1] and split.description.classes == ["cat", "dog"]


def test_arrays_of_images_and_labels_in_two_files(tmp_path: Path):
    np.save(tmp_path / "images.npy", DRAW.integers(0, 256, (4, 50, 40, 3), dtype=np.uint8))
    np.save(tmp_path / "labels.npy", np.array([1, 0, 2, 1]))
    split = made(tmp_path / "images.npy", tmp_path, tmp_path / "labels.npy", reader="arrays")
    assert split.images.shape == (4, 32, 32, 3) and split.labels.tolist() == [1, 0, 2, 1]


def test_a_few_broken_images_are_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    files = pets(100) | {"cat/cut.png": picture()[:300], "dog/empty.png": b""}
    split = made(folder_of(tmp_path / "pets", files), tmp_path)
    assert len(split.images) == len(split.labels) == 200
    assert split.description.made["broken"] == {"cat/cut.png": "damaged", "dog/empty.png": "no image that Pillow knows"}
    assert "2 images cannot be read and were skipped (1 damaged, 1 no image that Pillow knows)" in caplog.text


def test_many_broken_images_are_refused_and_nothing_is_written(tmp_path: Path):
    with pytest.raises(ValueError, match=r"2 of 8 images cannot be read, the first is cat/a\.png"):
        made(folder_of(tmp_path / "pets", pets() | {"cat/a.png": b"no", "dog/b.png": b"no"}), tmp_path)
    assert not list(tmp_path.glob("data/**/*.npy")) and not list(tmp_path.glob("data/**/*.json"))


def test_decoding_in_several_processes_changes_nothing(tmp_path: Path):
    source = folder_of(tmp_path / "pets", pets(100))
    settings = Recipe(reader="images", split="test", size=24, way="crop")
    arrays = []
    for workers in (1, 2):
        output = tmp_path / str(workers) / "test.npy"
        output.parent.mkdir()
        prepare(output, [source], settings, seed=3, workers=workers)
        arrays.append(np.load(output))
    assert np.array_equal(*arrays)


def test_a_share_of_each_class_is_drawn_for_testing_and_is_not_trained_on(tmp_path: Path):
    source = folder_of(tmp_path / "pets", pets(20))
    train = made(source, tmp_path, test_share=0.25)
    test = made(source, tmp_path, split="test", test_share=0.25, train=tmp_path / "data/32/pets/train.npy")
    assert np.bincount(train.labels).tolist() == [15, 15] and np.bincount(test.labels).tolist() == [5, 5]
    assert not set(train.description.made["hashes"]) & set(test.description.made["hashes"])


def test_test_images_that_are_training_images_are_refused(tmp_path: Path):
    files = pets()
    made(folder_of(tmp_path / "train", files), tmp_path)
    test = folder_of(tmp_path / "test", pets(1) | {"dog/same.png": files["cat/0.png"]})
    with pytest.raises(ValueError, match="1 test images are also training images, byte for byte"):
        made(test, tmp_path, split="test", train=tmp_path / "data/32/pets/train.npy")


def test_a_test_class_keeps_its_training_label_where_others_are_missing(tmp_path: Path):
    made(folder_of(tmp_path / "train", pets() | {"ant/0.png": picture()}), tmp_path)
    test = made(
        folder_of(tmp_path / "test", pets(1)), tmp_path, split="test", train=tmp_path / "data/32/pets/train.npy"
    )
    assert test.labels.tolist() == [1, 2] and test.description.classes == ["ant", "cat", "dog"]


def test_test_classes_that_were_not_trained_are_refused_with_their_count(tmp_path: Path):
    made(folder_of(tmp_path / "train", pets()), tmp_path)
    sentence = r"there are no training images of class ant, cow \(3 of 5 test images\) but of cat, dog"
    with pytest.raises(ValueError, match=f"labels out of range, {sentence}"):
        test = folder_of(
            tmp_path / "test", pets(1) | {f"{name}.png": picture() for name in ("cow/0", "ant/0", "ant/1")}
        )
        made(test, tmp_path, split="test", train=tmp_path / "data/32/pets/train.npy")


def test_uneven_classes_are_counted_and_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "fig")
    even = made(folder_of(tmp_path / "even", pets(3)), tmp_path / "1")
    assert even.description.made["counts"] == {"cat": 3, "dog": 3} and "images of each class: 3 cat" in caplog.text
    assert "uneven" not in caplog.text
    files = pets(1) | {f"dog/{number}.png": picture() for number in range(1, 10)}
    uneven = made(folder_of(tmp_path / "uneven", files), tmp_path / "2")
    assert uneven.description.made["counts"] == {"cat": 1, "dog": 10}
    assert "pets train: the classes are uneven: 1 images of cat, 10 of dog, 10 times as many" in caplog.text


def test_classes_without_images_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    np.savez(tmp_path / "pets.npz", images=np.zeros((2, 32, 32), np.uint8), labels=np.array([0, 3]))
    assert made(tmp_path / "pets.npz", tmp_path, reader="arrays").description.made["counts"]["1"] == 0
    assert "pets train: 2 of 4 classes have no images: 1, 2" in caplog.text


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"cat/0.png": picture()}, "there is one class only, cat"),
        ({"cat/0.png": picture(), "1.png": picture()}, r"1\.png lies in no class folder"),
        ({"readme.txt": b"nothing"}, "there are no images"),
    ],
)
def test_folders_that_are_no_data_set_are_refused(files: dict[str, bytes], reason: str, tmp_path: Path):
    with pytest.raises((ValueError, OSError), match=reason):
        made(folder_of(tmp_path / "pets", files), tmp_path)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"images": np.zeros((2, 8, 8, 3), np.uint8), "labels": np.array([-1, 0])}, "labels out of range"),
        ({"images": np.zeros((2, 8, 8, 3), np.uint8), "labels": np.array([0.0, 1.0])}, "labels out of range"),
        ({"images": np.zeros((2, 8, 8, 3), np.uint8), "labels": np.array([0, 1, 0])}, "labels out of range"),
        ({"images": np.zeros((2, 8, 8, 3), np.float32), "labels": np.array([0, 1])}, "not uint8 images"),
        ({"images": np.zeros((2, 8, 8, 2), np.uint8), "labels": np.array([0, 1])}, "not uint8 images"),
        ({"images": np.zeros((2, 3, 8, 8), np.uint8), "labels": np.array([0, 1])}, "move the channels to the end"),
        ({"images": np.zeros((2, 8, 8, 3), np.uint8), "labels": np.array(["a", "b", "c"])}, "labels out of range, <U1"),
        ({"pixels": np.zeros((2, 8, 8, 3), np.uint8)}, "no array called images"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused(arrays: dict[str, np.ndarray], reason: str, tmp_path: Path):
    np.savez(tmp_path / "pets.npz", **arrays)
    with pytest.raises(ValueError, match=reason):
        made(tmp_path / "pets.npz", tmp_path, reader="arrays")


@pytest.mark.parametrize("name", ["../cat/0.png", "/cat/0.png", "cat/../../0.png"])
@pytest.mark.parametrize("kind", ["pets.zip", "pets.tar.gz"])
def test_an_archive_that_reaches_out_of_its_folder_is_refused(name: str, kind: str, tmp_path: Path):
    with pytest.raises(ValueError, match=r"is refused: its member .* would lie outside"):
        made(archived(tmp_path / kind, pets() | {name: picture()}), tmp_path)


@pytest.mark.parametrize("link", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_an_archive_with_links_is_refused(link: bytes, tmp_path: Path):
    path = archived(tmp_path / "pets.tar", pets())
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("cat/link.png")
        info.type, info.linkname = link, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(ValueError, match=r"cat/link\.png is a link"):
        made(path, tmp_path)


class Trap:
    """An object whose unpickling would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["pets.npy", "pets.npz", "pets.mat", "pets.tar.gz", "pets.zip"])
def test_a_pickle_in_the_place_of_data_is_refused_and_never_run(name: str, tmp_path: Path):
    sprung, content = tmp_path / "sprung", pickle.dumps(Trap(tmp_path / "sprung"))
    if name == "pets.npz":
        np.savez(tmp_path / name, images=np.array([Trap(sprung)], dtype=object), labels=np.array([0]))
    else:
        (tmp_path / name).write_bytes(content)
    reader = {"npy": "arrays", "npz": "arrays", "mat": "svhn", "gz": "cifar10", "zip": "images"}[name.split(".")[-1]]
    with pytest.raises((ValueError, OSError)):
        made(tmp_path / name, tmp_path, reader=reader)
    assert not sprung.exists()


def test_a_pickle_among_the_images_is_an_unreadable_image(tmp_path: Path):
    sprung = tmp_path / "sprung"
    with pytest.raises(ValueError, match="images cannot be read"):
        made(folder_of(tmp_path / "pets", pets() | {"cat/trap.png": pickle.dumps(Trap(sprung))}), tmp_path)
    assert not sprung.exists()


def test_a_full_disk_leaves_nothing_that_could_be_taken_for_whole(tmp_path: Path):
    output = tmp_path / "data" / "32" / "pets" / "train.npy"
    output.parent.mkdir(parents=True)
    (output.parent / ".partial-train.npy").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"the disk of .* is full: train\.npy was not written"):
        made(folder_of(tmp_path / "pets", pets()), tmp_path)
    assert not output.exists() and not output.with_suffix(".json").exists()
