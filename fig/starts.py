"""Images that chains start at: noise, or ID images taken apart until no class is left in them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fig.lenses import smooth
from fig.settings import Maker

GRID = 4  # patches a side of an image


def draw_uniform(images: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform noise in [-1, 1], of the shape of the images (Algorithm 1)."""
    return 2 * draw_like(torch.rand, images.shape, images, generator) - 1


def draw_spectrum(images: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian noise whose mean colour and mean power spectrum, in each channel, are those of the images."""
    colour = images.mean(dim=(0, 2, 3), keepdim=True)  # (1, channels, 1, 1)
    power = torch.fft.fft2(images - colour).abs().square().mean(dim=0)  # (channels, height, width)
    white = torch.fft.fft2(draw_like(torch.randn, images.shape, images, generator), norm="ortho")
    noise: Tensor = torch.fft.ifft2(power.sqrt() * white).real
    return colour + noise


def scramble_phases(images: Tensor, generator: torch.Generator) -> Tensor:
    """The images with one random field of phases added to those of all channels: amplitudes and colours stay."""
    count, _, height, width = images.shape
    phases = torch.fft.fft2(draw_like(torch.randn, (count, 1, height, width), images, generator)).angle()
    phases[..., 0, 0] = 0  # of the mean colour
    turned = torch.fft.fft2(images) * torch.polar(torch.ones_like(phases), phases)
    scrambled: Tensor = torch.fft.ifft2(turned).real
    return scrambled


def smooth_phases(images: Tensor, generator: torch.Generator) -> Tensor:
    """The images with scrambled phases, seen through a low-pass: each halves amplitudes at its own frequency.

    The frequencies are log-uniform from 1/32 to 1/4 cycles a pixel.
    """
    half = 2 ** (3 * draw_like(torch.rand, (len(images), 1, 1, 1), images, generator) - 5)
    return smooth(scramble_phases(images, generator), half)


def shuffle_patches(images: Tensor, generator: torch.Generator) -> Tensor:
    """The images cut into GRID by GRID patches, which change places; raises ValueError where they cannot be cut."""
    count, channels, height, width = images.shape
    if height % GRID or width % GRID:
        raise ValueError(f"images of {height} x {width} pixels cannot be cut into {GRID} x {GRID} patches")
    tall, wide = height // GRID, width // GRID
    cut = images.reshape(count, channels, GRID, tall, GRID, wide).permute(0, 2, 4, 1, 3, 5)
    patches = cut.reshape(count, GRID * GRID, channels, tall, wide)
    order = draw_like(torch.rand, (count, GRID * GRID), images, generator).argsort(dim=1)
    patches = patches[torch.arange(count, device=images.device)[:, None], order]
    joined = patches.reshape(count, GRID, GRID, channels, tall, wide).permute(0, 3, 1, 4, 2, 5)
    return joined.reshape(images.shape)


STARTS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "uniform": draw_uniform,
    "spectrum": draw_spectrum,
    "phases": scramble_phases,
    "smooth": smooth_phases,
    "patches": shuffle_patches,
}


def draw_like(draw: Maker[Tensor], shape: Sequence[int], like: Tensor, generator: torch.Generator) -> Tensor:
    """Random numbers of a shape, drawn where the generator is and brought to where the images are."""
    return draw(tuple(shape), generator=generator, device=generator.device).to(like)


def draw_starts(names: Sequence[str], images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """What `count` chains start at, (count, channels, height, width) in [-1, 1]: as many of each kind that is named.

    One kind comes after the other, so that low-passes, which chains take in turn, see all kinds. They are made from
    some of the ID `images` (B, channels, height, width), B at least `count`, each used once.
    """
    order = torch.randperm(len(images), generator=generator, device=generator.device)[:count]
    chosen = images[order.to(images.device)]
    starts = torch.empty_like(chosen)  # in the layout of the images, which convolutions like
    for name, own, place in zip(names, *(each.tensor_split(len(names)) for each in (chosen, starts)), strict=True):
        if len(own):
            place.copy_(STARTS[name](own, generator))
    return starts.clamp(-1, 1)
