"""CEDA and ACET: no confidence on noise, nor near it (Hein et al., CVPR 2019, arXiv 1812.05720)."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from fig.energy import log_probabilities
from fig.frozen import frozen
from fig.methods.batch import Batch
from fig.methods.penalty import logits_of_both
from fig.methods.protocol import NETWORK, Loss, Method, Players
from fig.methods.standard import measure_logits, seen_of
from fig.methods.table import AcetSettings
from fig.objectives import cross_entropy
from fig.settings import settings

DEVIATIONS = (1.0, 2.5)  # of the low-pass filter, in pixels: one for each batch, drawn uniformly
REACH = 7  # pixels to each side that the filter sees


@settings
class Acet(AcetSettings, Method):
    """As many noise images as ID images, on which the largest log-probability is minimised.

    Noise is uniform, or an ID image with its pixels in another order, half each; it is low-passed and rescaled to the
    full range. ACET moves it, in eval mode, to where the network is more confident. As in the authors' code, `steps`
    steps of `radius` / `steps` along the gradient's sign begin at a random place of the ball, the most confident image
    of the way is taken, and noise and ID images share a forward pass of the training.
    """

    def losses(self, players: Players, batch: Batch, generator: torch.Generator) -> Iterator[Loss]:
        """Cross-entropies of ID images and largest log-probabilities of noise: their sum over the images of both."""
        network = players[NETWORK]

        def score(pixels: Tensor) -> Tensor:
            return largest_log_probability(network(batch.black + pixels * batch.unit))

        with torch.autocast(batch.whole.device.type, enabled=False):
            noise = draw_noise(batch, generator)
        pixels = batch.of_worker(noise).contiguous(memory_format=torch.channels_last)
        if self.steps:
            begin = batch.of_worker(draw_start(noise, self.radius, generator))
            with frozen(network):
                pixels = climb(score, pixels, begin, self.radius, self.steps)
        logits, noise_logits = logits_of_both(network, batch, batch.black + pixels * batch.unit)
        confident = largest_log_probability(noise_logits).sum() / batch.total
        loss = (cross_entropy(logits, batch.labels, batch.total) + confident) / 2
        yield Loss(loss, seen_of(logits, batch.labels) | measure_logits("generated", noise_logits))


def largest_log_probability(logits: Tensor) -> Tensor:
    """Log of the largest class probability: (n, C) logits -> (n,)."""
    return log_probabilities(logits).amax(dim=1)


def draw_noise(batch: Batch, generator: torch.Generator) -> Tensor:
    """Noise in pixels, over all workers: (B, channels, height, width) in [0, 1], the same on each worker."""

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=generator.device).to(batch.whole)

    count, (channels, *sides) = batch.total // 2, batch.whole.shape[1:]
    images = (batch.whole[:count] - batch.black) / batch.unit
    order = draw(count, 1, sides[0] * sides[1]).argsort(dim=2).expand(-1, channels, -1)  # the same for all channels
    permuted = images.flatten(2).gather(2, order).unflatten(2, sides)
    noise = torch.cat([permuted, draw(batch.total - count, channels, *sides)])
    lowest, highest = DEVIATIONS
    deviation = lowest + (highest - lowest) * draw(1)
    down, across = (lowpass(side, deviation) for side in sides)
    return stretch(down @ noise @ across.T)


def lowpass(size: int, deviation: Tensor) -> Tensor:
    """The matrix (size, size) of a Gaussian filter of this deviation (1,), with images mirrored at their borders."""
    offsets = torch.arange(-REACH, REACH + 1, device=deviation.device)
    weights = torch.exp(-(offsets**2) / (2 * deviation**2))
    places = (torch.arange(size, device=deviation.device)[:, None] + offsets) % (2 * size)  # (size, 15)
    places = torch.minimum(places, 2 * size - 1 - places)
    return deviation.new_zeros(size, size).scatter_add_(1, places, (weights / weights.sum()).expand(size, -1))


def stretch(images: Tensor) -> Tensor:
    """Images (B, channels, height, width) rescaled so that the values of each are from 0 to 1."""
    lowest, highest = images.amin(dim=(1, 2, 3), keepdim=True), images.amax(dim=(1, 2, 3), keepdim=True)
    return (images - lowest) / (highest - lowest).clamp(min=1e-12)


def draw_start(pixels: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    """Where ascents from `pixels` (B, ...) begin: uniformly in a ball whose radius is itself drawn, up to `radius`."""

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=generator.device).to(pixels)

    radii = radius * draw(len(pixels), 1, 1, 1)
    return (pixels + radii * (2 * draw(*pixels.shape) - 1)).clamp(0, 1)


def climb(score: Callable[[Tensor], Tensor], pixels: Tensor, begin: Tensor, radius: float, steps: int) -> Tensor:
    """The best of `pixels` (n, ...), where an ascent begins, and all its steps, by `score`: (n, ...) -> (n,).

    Steps go along the sign of the score's gradient, and stay in [0, 1] and within `radius` of `pixels`.
    """
    best, moving = pixels, begin
    with torch.no_grad():
        highest = score(pixels)
    for step in range(steps + 1):
        with torch.enable_grad():
            moving = moving.detach().requires_grad_(step < steps)
            scores = score(moving)
        rows = (scores > highest)[:, None, None, None]
        best, highest = torch.where(rows, moving.detach(), best), torch.maximum(highest, scores.detach())
        if step < steps:
            (gradient,) = torch.autograd.grad(scores.sum(), moving)
            moved = (moving + radius / steps * gradient.sign()).detach().clamp(0, 1)
            moving = torch.maximum(torch.minimum(moved, pixels + radius), pixels - radius)
    return best
