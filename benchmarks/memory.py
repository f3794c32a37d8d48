"""Peak memory of training on a prepared set far larger than memory should hold, against the same on a small one.

Example: python benchmarks/memory.py 10
"""

import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ratios import machine

from fig.data.arrays import Written, open_split, write_description, write_header
from fig.data.augment import Augmentation
from fig.discriminator import Architecture, Discriminator
from fig.methods.standard import Standard
from fig.training import TrainingSettings, players_of, train

SIDE, CLASSES, ITERATIONS = 256, 10, 100


def written(path: Path, count: int) -> Path:
    """A prepared split of `count` black images, which the file system keeps as a hole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_header(file, (count, SIDE, SIDE, 3))
        file.truncate(file.tell() + count * SIDE * SIDE * 3)
    labels = (np.arange(count) % CLASSES).tolist()
    about = Written((count, SIDE, SIDE, 3), "", (0, 0, 0), (1, 1, 1))
    write_description(path, about, labels, [str(label) for label in range(CLASSES)], {})
    return path


def measured(path: str) -> None:
    """Train on the split and print the peak of resident memory, in MB."""
    discriminator = Discriminator(Architecture("resnet18", CLASSES, 64, 1 / 16))
    settings = TrainingSettings(learning_rate=0.01, iterations=ITERATIONS)
    players = players_of(discriminator, Standard(), settings, 0)
    steps = train(
        discriminator,
        players,
        open_split(Path(path)),
        Standard(),
        settings,
        Augmentation(64),
        0,
    )
    for _ in steps:
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main(gigabytes: str) -> None:
    print(machine())
    with TemporaryDirectory() as folder:
        peaks = []
        for name, size in (("small", 0.03), ("large", float(gigabytes))):
            path = written(Path(folder) / name / "train.npy", int(size * 1e9 / SIDE**2 / 3))
            done = subprocess.run(
                [sys.executable, __file__, "--measure", path], capture_output=True, text=True, check=True
            )
            peaks.append(float(done.stdout))
        print(
            f"peak memory of {ITERATIONS} iterations of 128 images on {gigabytes} GB: {peaks[1]:.0f} MB, "
            f"{peaks[1] - peaks[0]:+.0f} MB against 0.03 GB"
        )


if __name__ == "__main__":
    measured(sys.argv[2]) if sys.argv[1] == "--measure" else main(sys.argv[1])
