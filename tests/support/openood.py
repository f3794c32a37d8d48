"""A stand-in for OpenOOD: its ResNet18_32x32, names and all, and its folders of lists and images."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

# OpenOOD v1.5's benchmarks: the OOD sets of each ID data set, by their lists test_<name>.txt.
BENCHMARKS = {
    "cifar10": ("cifar100", "tin", "mnist", "svhn", "texture", "places365"),
    "cifar100": ("cifar10", "tin", "mnist", "svhn", "texture", "places365"),
}
SIZES = {"tin": (64, 64), "mnist": (28, 28), "texture": (90, 61), "places365": (256, 256)}  # width, height


class Block(nn.Module):
    """A residual block whose skipping path is called `shortcut`, and is empty where it changes nothing."""

    def __init__(self, before: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride > 1 or before != planes:
            self.shortcut = nn.Sequential(nn.Conv2d(before, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, before, h, w) -> (B, planes, h / stride, w / stride)."""
        out = F.relu(self.bn1(self.conv1(images)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(images))


class ResNet18(nn.Module):
    """OpenOOD's ResNet18_32x32: a 3 x 3 stem, four stages of two blocks, `fc`; narrower by `width`."""

    def __init__(self, classes: int = 10, width: float = 1.0) -> None:
        super().__init__()
        planes = [round(64 * width * factor) for factor in (1, 1, 2, 4, 8)]
        self.conv1 = nn.Conv2d(3, planes[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes[0])
        for number, (before, after) in enumerate(pairwise(planes), 1):
            first = Block(before, after, 1 if number == 1 else 2)
            setattr(self, f"layer{number}", nn.Sequential(first, Block(after, after, 1)))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(planes[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of normalised images (B, 3, h, w)."""
        out = F.relu(self.bn1(self.conv1(images)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            out = stage(out)
        return self.fc(self.avgpool(out).flatten(1))


def write_list(root: Path, name: str, images: Mapping[str, int], of: str, seed: int) -> None:
    """Write a list of OpenOOD's and the images that it names, noise around a colour for each label."""
    draw = np.random.default_rng(seed)
    width, height = SIZES.get(of, (32, 32))
    for place, label in images.items():
        path = root / "images_classic" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = draw.normal([30 + 150 * (label == 1), 120, 200 - 150 * (label == 0)], 30, (height, width, 3))
        Image.fromarray(colour.clip(0, 255).astype(np.uint8)).convert("L" if of == "mnist" else "RGB").save(path)
    path = root / "benchmark_imglist" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{place} {label}\n" for place, label in images.items()))


def write_benchmarks(
    root: Path, train: int = 40, test: int = 12, benchmarks: Sequence[str] = tuple(BENCHMARKS)
) -> None:
    """Write OpenOOD's data folder with a few images of two classes, or of none, for each list of its benchmarks."""
    for number, benchmark in enumerate(benchmarks):
        for split, count in {"train": train, "val": 4, "test": test}.items():
            folder = "train" if split == "train" else "test"
            images = {f"{benchmark}/{folder}/{row % 2}/{split}{row:04d}.png": row % 2 for row in range(count)}
            write_list(root, f"{benchmark}/{split}_{benchmark}.txt", images, benchmark, number)
        for other, ood in enumerate(BENCHMARKS[benchmark]):
            images = {f"{ood}/test/for_{benchmark}{row:04d}.png": -1 for row in range(test + other)}
            write_list(root, f"{benchmark}/test_{ood}.txt", images, ood, 10 * number + other)
