"""Random crops and mirrors of whole batches at once."""

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(images: Tensor, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Crop each image at random from its zero-padded self, and mirror one in two: uint8 (B, C, H, W) -> the same.

    The offsets of a batch are drawn at once from `generator`; an image's crop depends on its place in the batch alone.
    """
    batch, _, height, width = images.shape
    top, left = torch.randint(2 * padding + 1, (2, batch), generator=generator)  # (B,), (B,)
    mirrored = torch.rand(batch, generator=generator) < 0.5 if flip else torch.zeros(batch, dtype=torch.bool)
    rows = top[:, None] + torch.arange(height)  # (B, H)
    columns = left[:, None] + torch.arange(width)  # (B, W)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    padded = F.pad(images, (padding,) * 4)  # (B, C, H + 2 padding, W + 2 padding)
    index = torch.arange(batch)[:, None, None]
    crops = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]  # (B, H, W, C)
    return crops.permute(0, 3, 1, 2)
