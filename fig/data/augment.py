"""Random crops and mirrors of whole batches at once."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fig.settings import Augmentation


def augment(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Crop each image at random, and mirror one in two: uint8 (B, C, H, W) -> (B, C, size, size), on their device.

    The offsets of a batch are drawn at once from `generator`; an image's crop depends on its place in the batch alone.
    Raises ValueError where the padded images are smaller than the crop.
    """
    batch, _, height, width = images.shape
    size, padding = augmentation.size, augmentation.padding
    if min(height, width) + 2 * padding < size:
        raise ValueError(f"images of {height} x {width} pixels with {padding} of padding hold no crop of {size} a side")
    top = torch.randint(height + 2 * padding - size + 1, (batch,), generator=generator)
    left = torch.randint(width + 2 * padding - size + 1, (batch,), generator=generator)
    mirrored = torch.rand(batch, generator=generator) < 0.5 if augmentation.flip else torch.zeros(batch).bool()
    rows = top[:, None] + torch.arange(size)  # (B, size)
    columns = left[:, None] + torch.arange(size)  # (B, size)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    padded = F.pad(images, (padding,) * 4).permute(0, 2, 3, 1)  # (B, H + 2 padding, W + 2 padding, C)
    places = (torch.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :])
    return padded[tuple(index.to(images.device) for index in places)].permute(0, 3, 1, 2)
