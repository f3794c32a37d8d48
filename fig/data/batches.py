"""Batches of a prepared split as tensors."""

import torch
from torch import Tensor

from fig.data.arrays import Split


def images_at(split: Split, rows: Tensor) -> Tensor:
    """Images of these rows (b,) as uint8 (b, 3, height, width), channels last in memory."""
    images = torch.from_numpy(split.images[rows.numpy()])
    split.release()
    return images.permute(0, 3, 1, 2)


def labels_of(split: Split) -> Tensor:
    """Class of each image: (N,)."""
    return torch.from_numpy(split.labels)
