"""Epochs of augmented batches against torchvision's transforms in a DataLoader of two workers.

Example: python benchmarks/input_pipeline.py data/32/cifar10-jpeg/train.npy
"""

import sys
from pathlib import Path

import torch
from PIL import Image
from ratios import machine, ratio
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from fig.data.arrays import open_split
from fig.data.augment import Augmentation, augment
from fig.data.batches import images_at, labels_of
from fig.discriminator import Architecture, Discriminator
from fig.seeding import generator
from fig.settings import TrainingSettings
from fig.training import batch_rows, iterations_per_epoch

BATCH = 128


class Usual(Dataset):
    """The data set as torchvision's CIFAR10 gives it: an image of Pillow's, transformed one by one."""

    def __init__(self, split) -> None:
        self.images, self.labels = split.images[:], split.labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int):
        return self.transform(Image.fromarray(self.images[row])), self.labels[row]


def main(path: str) -> None:
    split = open_split(Path(path))
    loader = DataLoader(Usual(split), BATCH, shuffle=True, num_workers=2)
    discriminator = Discriminator(Architecture("resnet18", 10, 32, 1 / 16))  # for its scaling
    labels, settings = labels_of(split), TrainingSettings(learning_rate=0.1, epochs=1, batch_size=BATCH)

    def theirs() -> None:
        for images, _ in loader:
            images.contiguous(memory_format=torch.channels_last)

    def ours() -> None:
        for iteration in range(iterations_per_epoch(settings, len(labels))):
            rows = batch_rows(len(labels), iteration, settings, 0)
            images = augment(images_at(split, rows), Augmentation(32, 4, True), generator(0, "augment", iteration))
            discriminator.scaled(images).contiguous(memory_format=torch.channels_last)
            labels[rows]

    print(machine())
    print(f"an epoch of {len(labels)} images, ours against a DataLoader of two workers: {ratio(theirs, ours, pairs=3)}")


if __name__ == "__main__":
    main(sys.argv[1])
