"""Low-passes: of images, and those through which a network sees chains, so that what they draw is smooth."""

from collections.abc import Sequence
from math import pi

import torch
from torch import Tensor


def square_frequencies(height: int, width: int, device: torch.device) -> Tensor:
    """Squares of the spatial frequencies of a Fourier transform, in cycles a pixel: (height, width)."""
    down, across = (torch.fft.fftfreq(side, device=device) for side in (height, width))
    squares: Tensor = down[:, None].square() + across.square()
    return squares


def smooth(images: Tensor, half: Tensor | float) -> Tensor:
    """The images (n, channels, height, width) after a Gaussian low-pass over their borders to the other side.

    It halves the amplitudes at the frequency `half`, in cycles a pixel: one for all images, or (n, 1, 1, 1).
    """
    height, width = images.shape[-2:]
    gains = 0.5 ** (square_frequencies(height, width, images.device) / torch.as_tensor(half).square())
    smoothed: Tensor = torch.fft.ifft2(torch.fft.fft2(images) * gains).real
    return smoothed


def draw_lenses(deviations: Sequence[float], chains: Tensor, height: int, width: int) -> Tensor | None:
    """Gains of frequencies for the chains with these numbers (n,), which take the low-passes in turn.

    A low-pass is a Gaussian of a deviation in pixels, over the borders of an image to its other side. White noise keeps
    its variance: smooth patterns are as strong as rough ones. Returns (n, 1, height, width // 2 + 1), of
    `torch.fft.rfft2`; None where there is no low-pass, or all have deviation 0.
    """
    if not any(deviations):
        return None
    squares = torch.tensor(deviations, device=chains.device)[:, None, None].square()
    gains = torch.exp(
        -2 * pi**2 * squares * square_frequencies(height, width, chains.device)
    )  # (deviations, height, width)
    gains = gains / gains.square().mean(dim=(1, 2), keepdim=True).sqrt()
    return gains[chains % len(deviations), None, :, : width // 2 + 1]


def see(images: Tensor, lenses: Tensor | None) -> Tensor:
    """The images (n, channels, height, width) as the network sees them through its lenses, clipped to [-1, 1].

    Gradients pass where pixels are clipped, as they do where a chain's own are: a step may lead back into the range.
    """
    if lenses is None:
        return images
    planes = images.contiguous()  # in any other layout, such as that of a resumed drawing, rounding differs
    seen: Tensor = torch.fft.irfft2(torch.fft.rfft2(planes) * lenses, s=images.shape[-2:])
    clipped = seen.detach().clamp(-1, 1) + (seen - seen.detach())
    return clipped.contiguous(memory_format=torch.channels_last)
