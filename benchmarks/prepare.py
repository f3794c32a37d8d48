"""`prepare` of an archive of JPEGs against decoding alone on all cores; no device.

Example: python benchmarks/prepare.py data/archives/cifar10-jpeg.tar.xz cifar10
"""

import os
import tarfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import cyclopts
import numpy as np
from PIL import Image
from ratios import Pairs, print_head, print_machine, print_row, time_pairs

from fig.data.catalogue import Recipe
from fig.data.prepare import prepare
from fig.data.readers import images


def decode(paths: list[Path]) -> int:
    """Decode images; returns a sum over them, so that each is read."""
    return sum(int(np.asarray(Image.open(path).convert("RGB"))[0, 0, 0]) for path in paths)


def archive_of_digits(folder: Path) -> Path:
    """The test digits as JPEGs in an archive."""
    from digits import load_digits  # imports torch, which the processes of `prepare` would wait for

    with tarfile.open(folder / "digits.tar.xz", "w:xz") as archive:
        for row, image in enumerate(load_digits("test").images):
            Image.fromarray(image).save(folder / "digit.jpg")
            archive.add(folder / "digit.jpg", f"{row}.jpg")
    return folder / "digits.tar.xz"


def main(archive: Path | None = None, under: str = "", *, pairs: Pairs = 3) -> None:
    """Print the rows on `prepare` of docs/results/performance.md, of JPEGs in an archive's folder or of digits."""
    print_machine(None)
    cores = len(os.sched_getaffinity(0))
    with TemporaryDirectory() as folder, ProcessPoolExecutor(cores) as pool:
        archive = archive or archive_of_digits(Path(folder))
        unpacked = Path(folder) / "unpacked"
        unpacked.mkdir()
        with images([archive], Recipe(reader="images", split="test", size=32, way="centre", under=under)) as listing:
            for row in range(len(listing.names)):
                (unpacked / f"{row}.jpg").write_bytes(listing.read(row))
        files = sorted(unpacked.iterdir())
        parts = [files[core::cores] for core in range(cores)]
        print_head("decoding", "prepare")
        for name, source, below in (("a folder", unpacked, ""), ("an archive", archive, under)):
            recipe = Recipe(reader="images", split="test", size=32, way="centre", short=32, under=below)
            ours = partial(prepare, Path(folder) / "test.npy", [source], recipe, workers=cores)
            print_row(f"{len(files)} JPEGs in {name}", *time_pairs(lambda: list(pool.map(decode, parts)), ours, pairs))


if __name__ == "__main__":
    cyclopts.run(main)
