"""Batches of a prepared split as tensors, and where a training takes them from."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fig.data.arrays import Split

SHARE = 0.25  # of a GPU's free memory that a whole split may take


def images_at(split: Split, rows: Tensor) -> Tensor:
    """Images of these rows (b,) as uint8 (b, 3, height, width), channels last in memory."""
    images = torch.from_numpy(split.images[rows.numpy()])
    split.release()
    return images.permute(0, 3, 1, 2)


def images_on(device: torch.device, split: Split, rows: Tensor) -> Tensor:
    """Images of these rows (b,) on a device, as uint8 (b, 3, height, width), by a copy that does not wait for a GPU."""
    images = images_at(split, rows)
    return (images.pin_memory() if device.type == "cuda" else images).to(device, non_blocking=True)


def labels_of(split: Split) -> Tensor:
    """Class of each image: (N,)."""
    return torch.from_numpy(split.labels)


@dataclass(frozen=True)
class Source:
    """The images and labels of a training: in the memory of its device where they fit, else images are on disk."""

    split: Split
    labels: Tensor  # (N,) on the device
    kept: Tensor | None = None  # uint8 (N, 3, height, width) on the device: all images, where they fit

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Images of these rows (b,) as uint8 (b, 3, height, width) and their labels (b,), on the device."""
        here = rows.to(self.labels.device)
        if self.kept is not None:
            return self.kept[here], self.labels[here]
        return images_on(self.labels.device, self.split, rows), self.labels[here]


def source_on(split: Split, device: torch.device) -> Source:
    """The source of a training on a device: a GPU keeps all images where they take no more than SHARE of its memory."""
    fits = device.type == "cuda" and split.images.nbytes <= SHARE * torch.cuda.mem_get_info(device)[0]
    return Source(split, labels_of(split).to(device), keep_all(split, device) if fits else None)


def keep_all(split: Split, device: torch.device, batch: int = 4096) -> Tensor:
    """All images of a split on a device, copied in parts: uint8 (N, 3, height, width), channels last in memory."""
    parts = torch.arange(len(split.images)).split(batch)
    return torch.cat([images_at(split, rows).to(device) for rows in parts]).contiguous(
        memory_format=torch.channels_last
    )
