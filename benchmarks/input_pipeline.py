"""Epochs of augmented batches against torchvision's transforms in a DataLoader of two workers.

Example: python benchmarks/input_pipeline.py data/32/cifar10-jpeg/train.npy
"""

from pathlib import Path

import cyclopts
import torch
from digits import load_digits
from PIL import Image
from ratios import Device, Pairs, print_head, print_machine, print_row, time_pairs
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from fig.data.arrays import Split, open_split
from fig.data.augment import Augmentation
from fig.data.batches import source_on
from fig.discriminator import Architecture, Discriminator
from fig.settings import TrainingSettings
from fig.training import batch_at, iterations_per_epoch

BATCH = 128


class Usual(Dataset):
    """The data set as torchvision's CIFAR10 gives it: an image of Pillow's, transformed one by one."""

    def __init__(self, split: Split) -> None:
        self.images, self.labels = split.images[:], split.labels
        crop, mirror = transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()
        scale = transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.transform = transforms.Compose([crop, mirror, transforms.ToTensor(), scale])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int):
        return self.transform(Image.fromarray(self.images[row])), self.labels[row]


def main(path: Path | None = None, *, pairs: Pairs = 3, device: Device = "cpu") -> None:
    """Print the row on batches of docs/results/performance.md, of a prepared split of 32 x 32 pixels or the digits."""
    print_machine(device)
    split = open_split(path) if path else load_digits()
    loader = DataLoader(Usual(split), BATCH, shuffle=True, num_workers=2, pin_memory=device != "cpu")
    discriminator = Discriminator(Architecture("resnet18", 10, 32, 1 / 16)).to(device)  # for its scaling
    settings = TrainingSettings(learning_rate=0.1, epochs=1, batch_size=BATCH)
    source = source_on(split, discriminator.device)

    def theirs() -> None:
        for images, labels in loader:
            images.to(device, non_blocking=True, memory_format=torch.channels_last)
            labels.to(device, non_blocking=True)

    def ours() -> None:
        for iteration in range(iterations_per_epoch(settings, len(source))):
            batch_at(discriminator, source, Augmentation(32, 4, True), iteration, settings, 0)

    print_head("DataLoader", "ours")
    print_row(f"an epoch of {len(source)} images", *time_pairs(theirs, ours, pairs))


if __name__ == "__main__":
    cyclopts.run(main)
