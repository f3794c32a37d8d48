"""Peak memory of training on a prepared set far larger than memory should hold, against the same on a small one.

Example: python benchmarks/memory.py 10
"""

import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import cyclopts
import numpy as np
import torch
from cyclopts import Parameter
from ratios import Count, Device, over, print_cells, print_machine, print_table

from fig.data.arrays import Written, open_split, write_description, write_header
from fig.data.augment import Augmentation
from fig.discriminator import Architecture, Discriminator
from fig.methods.standard import Standard
from fig.training import TrainingSettings, players_of, train

SIDE, CLASSES, SMALL = 256, 10, 0.03  # pixels a side; GB of the small set


def write_black(path: Path, gigabytes: float) -> Path:
    """A prepared split of black images, which the file system keeps as a hole."""
    count = int(gigabytes * 1e9 / SIDE**2 / 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_header(file, (count, SIDE, SIDE, 3))
        file.truncate(file.tell() + count * SIDE * SIDE * 3)
    labels = (np.arange(count) % CLASSES).tolist()
    about = Written((count, SIDE, SIDE, 3), "", (0, 0, 0), (1, 1, 1))
    write_description(path, about, labels, [str(label) for label in range(CLASSES)], {})
    return path


def peaks_of_training(path: Path, iterations: int, device: str) -> dict[str, float]:
    """Train on the split: the peaks of this process's memory and, where there is one, of the GPU's, in MB."""
    discriminator = Discriminator(Architecture("resnet18", CLASSES, 64, 1 / 16)).to(device)
    settings = TrainingSettings(learning_rate=0.01, iterations=iterations)
    players = players_of(discriminator, Standard(), settings, 0)
    data, augmentation = open_split(path), Augmentation(64)
    for _ in train(discriminator, players, data, Standard(), settings, augmentation, 0):
        pass
    peaks = {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    return peaks | ({"the GPU's memory": torch.cuda.max_memory_allocated(device) / 2**20} if device != "cpu" else {})


def main(
    gigabytes: Annotated[float, Parameter(help="Size of the large set.")] = 10,
    *,
    iterations: Annotated[Count, Parameter(help="Of 128 images each.")] = 100,
    device: Device = "cpu",
) -> None:
    """Print the row on memory of docs/results/performance.md."""
    print_machine(device)
    with TemporaryDirectory() as folder, ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        sizes = {"small": SMALL, "large": gigabytes}
        paths = [write_black(Path(folder) / name / "train.npy", size) for name, size in sizes.items()]
        small, large = pool.map(peaks_of_training, paths, [iterations] * 2, [device] * 2)
    print_table(["what", f"peak, {gigabytes:g} GB / {SMALL} GB", f"{gigabytes:g} GB", f"{SMALL} GB"])
    for what, peak in large.items():
        both = f"{peak:.0f} MB", f"{small[what]:.0f} MB"
        print_cells(f"{what}, {iterations} iterations", over([peak], [small[what]]), *both)


if __name__ == "__main__":
    cyclopts.run(main)
