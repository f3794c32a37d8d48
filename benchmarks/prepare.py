"""`prepare` of an archive of JPEGs against decoding alone on all cores.

Example: python benchmarks/prepare.py data/archives/cifar10-jpeg.tar.xz cifar10
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from ratios import machine, ratio

from fig.data.catalogue import Recipe
from fig.data.prepare import prepare
from fig.data.readers import images


def decoded(paths: list[Path]) -> int:
    return sum(int(np.asarray(Image.open(path).convert("RGB"))[0, 0, 0]) for path in paths)


def main(path: str, under: str) -> None:
    cores = len(os.sched_getaffinity(0))
    print(machine())
    with TemporaryDirectory() as folder, ProcessPoolExecutor(cores) as pool:
        unpacked = Path(folder) / "unpacked"
        unpacked.mkdir()
        with images([Path(path)], "test", under) as listing:
            for row in range(len(listing.names)):
                (unpacked / f"{row}.jpg").write_bytes(listing.read(row))
        files = sorted(unpacked.iterdir())
        parts = [files[core::cores] for core in range(cores)]
        for name, source, below in (("folder", unpacked, ""), ("archive", Path(path), under)):
            recipe = Recipe(reader="images", split="test", size=32, way="centre", short=32, under=below)

            def theirs() -> None:
                list(pool.map(decoded, parts))

            def ours(source=source, recipe=recipe) -> None:
                prepare(Path(folder) / "test.npy", [source], recipe, workers=cores)

            found = ratio(theirs, ours, 3)
            print(f"{len(files)} JPEGs, decoding them alone on all cores over prepare of the {name}: {found}")


if __name__ == "__main__":
    main(*sys.argv[1:])
