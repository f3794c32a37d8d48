"""Tiny files in each publisher's exact format: image number k of a set is plain, of brightness 20 k."""

import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import lmdb
import numpy as np
from PIL import Image
from scipy.io import savemat

STEP = 20  # of brightness, from image to image


def plain(number: int, kind: str = "JPEG", size: tuple[int, int] = (48, 40)) -> bytes:
    """An encoded image of one grey."""
    file = BytesIO()
    Image.new("RGB", size, (STEP * number,) * 3).save(file, kind)
    return file.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    file = BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, BytesIO(content))
    return file.getvalue()


def matlab(**variables: np.ndarray) -> bytes:
    file = BytesIO()
    savemat(file, variables, do_compression=True)
    return file.getvalue()


def svhn(numbers: list[int]) -> bytes:
    """SVHN's layout: X (32, 32, 3, N), y (N, 1) in which 10 is the digit 0; number k is of the digit k."""
    pixels = np.stack([np.full((32, 32, 3), STEP * k, np.uint8) for k in numbers], axis=-1)
    return matlab(X=pixels, y=np.array([[k or 10] for k in numbers], np.uint8))


def cifar_records(numbers: list[int], label_bytes: int) -> bytes:
    """CIFAR's records; number k is of class k, CIFAR100's coarse class 9."""
    return b"".join(bytes([9] * (label_bytes - 1) + [k]) + bytes([STEP * k]) * 3072 for k in numbers)


def cifar10() -> bytes:
    folder = "cifar-10-batches-bin"
    batches = {f"{folder}/data_batch_{n}.bin": cifar_records([n - 1], 1) for n in range(1, 6)}
    names = "\n".join(f"kind{n}" for n in range(10)) + "\n\n"
    return tarred(
        batches | {f"{folder}/test_batch.bin": cifar_records([7, 3], 1), f"{folder}/batches.meta.txt": names.encode()}
    )


def cifar100() -> bytes:
    folder = "cifar-100-binary"
    names = {"fine": [f"thing{n}" for n in range(100)], "coarse": [f"group{n}" for n in range(20)]}
    lists = {f"{folder}/{kind}_label_names.txt": ("\n".join(all_) + "\n").encode() for kind, all_ in names.items()}
    parts = {f"{folder}/train.bin": cifar_records([0, 1, 2], 2), f"{folder}/test.bin": cifar_records([2, 5], 2)}
    return tarred(parts | lists)


def lsun(folder: Path) -> bytes:
    """A zip file of an LMDB of WebP images."""
    with lmdb.open(str(folder / "test_lmdb"), map_size=1 << 20) as database, database.begin(write=True) as transaction:
        for number in range(3):
            transaction.put(f"{number:040x}".encode(), plain(number, "WEBP"))
    return zipped(
        {f"test_lmdb/{name}": (folder / "test_lmdb" / name).read_bytes() for name in ("data.mdb", "lock.mdb")}
    )


def archives(folder: Path) -> dict[str, bytes]:
    """Every file of the catalogue, as <source>/<name>."""
    flowers = {f"jpg/image_{n + 1:05d}.jpg": plain(n) for n in range(5)}
    textures = {f"dtd/images/dotted/dotted_{n:04d}.jpg": plain(n) for n in range(4)}
    crops = {f"Imagenet/test/{n}.jpg": plain(n, size=(36, 36)) for n in range(3)}
    return {
        "svhn/train_32x32.mat": svhn([0, 1, 2, 9]),
        "svhn/test_32x32.mat": svhn([9, 0]),
        "cifar10/cifar-10-binary.tar.gz": cifar10(),
        "cifar100/cifar-100-binary.tar.gz": cifar100(),
        "lsun/test_lmdb.zip": lsun(folder),
        "lsun/LSUN_resize.tar.gz": tarred(
            {f"LSUN_resize/LSUN_resize/{n}.jpg": plain(n, size=(32, 32)) for n in range(3)}
        ),
        "lsun/LSUN.tar.gz": tarred({f"LSUN/test/{n}.jpg": plain(n, size=(36, 36)) for n in range(3)}),
        "tinyimagenet/tiny-imagenet-200.zip": zipped(
            {f"tiny-imagenet-200/test/images/test_{n}.JPEG": plain(n, size=(64, 64)) for n in range(3)}
            | {"tiny-imagenet-200/val/images/val_0.JPEG": plain(9), "tiny-imagenet-200/words.txt": b"n0 thing"}
        ),
        "tinyimagenet/Imagenet_resize.tar.gz": tarred(
            {f"Imagenet_resize/Imagenet_resize/{n}.jpg": plain(n, size=(32, 32)) for n in range(3)}
        ),
        "tinyimagenet/Imagenet.tar.gz": tarred(crops),
        "caltech256/256_ObjectCategories.tar": tarred(
            {f"256_ObjectCategories/{c + 1:03d}.thing/{c + 1:03d}_0001.jpg": plain(c) for c in range(3)}
            | {"256_ObjectCategories/056.dog/greg/vision309/run": b"a stray file"},
            "w:",
        ),
        "coco/val2017.zip": zipped({f"val2017/{n:012d}.jpg": plain(n) for n in range(3)}),
        "flowers102/102flowers.tgz": tarred(flowers),
        "flowers102/setid.mat": matlab(trnid=np.array([[4, 5]]), valid=np.array([[0]]), tstid=np.array([[3, 1, 2]])),
        "dtd47/dtd-r1.0.1.tar.gz": tarred(
            textures | {"dtd/labels/test1.txt": b"".join(b"dotted/dotted_%04d.jpg\n" % n for n in (0, 1, 2))}
        ),
    }


def imagenet(folder: Path) -> None:
    """ImageNet's class folders with gaps in their numbers, and MiniImageNet's split lists, of six images a class."""
    for label, wordnet in enumerate(("n01532829", "n02110063")):
        (folder / "ILSVRC" / wordnet).mkdir(parents=True)
        for rank in range(1, 9):
            image = folder / "ILSVRC" / wordnet / f"{wordnet}_{7 * rank}.JPEG"
            Image.new("RGB", (300, 260), (10 * rank, 100 * label, 0)).save(image, quality=95)
        rows = "".join(f"{wordnet}{rank:08d}.jpg,{wordnet}\n" for rank in range(2, 8))
        (folder / "lists").mkdir(exist_ok=True)
        (folder / "lists" / ("train.csv", "test.csv")[label]).write_text(f"filename,label\n{rows}")
