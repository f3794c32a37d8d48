"""JCL: a GAN trained together with the network, which is unsure about the GAN's images (Lee et al., ICLR 2018)."""

from collections.abc import Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fig.frozen import frozen
from fig.methods.batch import Batch
from fig.methods.penalty import logits_of_both
from fig.methods.protocol import NETWORK, Loss, Method, Player, Players
from fig.methods.standard import measure_logits, seen_of
from fig.methods.table import JclSettings
from fig.objectives import cross_entropy, divergence_from_uniform
from fig.settings import settings

GENERATOR, CRITIC = "generator", "critic"  # a critic, since the network in training is the discriminator here
BETAS = (0.5, 0.999)  # of Adam, for both


@settings
class JointConfidence(JclSettings, Method):
    """The joint confidence loss: `beta` weighs the divergence from the uniform distribution.

    The generator and the critic are DCGAN's, with `filters` channels in their thinnest layer, and Adam moves them. As
    the networks here have batch norms, unlike the authors', ID and generated images share a forward pass of the
    network, and it is in eval mode where the generator is trained.
    """

    def companions(self, network: nn.Module, shape: tuple[int, ...], generator: torch.Generator) -> dict[str, Player]:
        """The GAN."""
        made = {
            GENERATOR: generator_of(shape, self.latent, self.filters),
            CRITIC: critic_of(shape, self.filters),
        }
        for module in made.values():
            initialise(module, generator)
        return {
            name: Player(module, torch.optim.Adam(module.parameters(), self.learning_rate, BETAS))
            for name, module in made.items()
        }

    def losses(self, players: Players, batch: Batch, generator: torch.Generator) -> Iterator[Loss]:
        """The critic's, the generator's and the network's loss in turn, as in the authors' code."""
        network, forge, critic = players[NETWORK], players[GENERATOR], players[CRITIC]
        inputs, total = batch.inputs, batch.total
        forged = generate_images(forge, self.latent, batch, generator)
        yield Loss(verdict(critic, inputs, True, total) + verdict(critic, forged.detach(), False, total), {}, CRITIC)

        with frozen(network):
            unsure = divergence_from_uniform(network(forged), total)
        yield Loss(verdict(critic, forged, True, total) + self.beta * unsure, {}, GENERATOR)

        with torch.no_grad():
            forged = generate_images(forge, self.latent, batch, generator)
        logits, forged_logits = logits_of_both(network, batch, forged)
        loss = cross_entropy(logits, batch.labels, total) + self.beta * divergence_from_uniform(forged_logits, total)
        spread = {"generated_spread": spread_of(forged) / spread_of(inputs)}  # near 0: the generator has collapsed
        yield Loss(loss, seen_of(logits, batch.labels) | measure_logits("generated", forged_logits) | spread)


def generate_images(forge: nn.Module, latent: int, batch: Batch, generator: torch.Generator) -> Tensor:
    """This worker's of as many generated images as the mini-batch has: (b, channels, height, width), scaled."""
    z = torch.randn(batch.total, latent, 1, 1, generator=generator, device=generator.device)
    pixels = forge(batch.of_worker(z).to(batch.whole.device))
    scaled: Tensor = batch.black + pixels * batch.unit
    return scaled.contiguous(memory_format=torch.channels_last)


def verdict(critic: nn.Module, images: Tensor, real: bool, total: int) -> Tensor:
    """Cross-entropy of the critic's logits of images with their being real, or not."""
    logits = critic(images).flatten()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)), reduction="sum") / total


def spread_of(images: Tensor) -> Tensor:
    """Standard deviation over images, averaged over their pixels."""
    return images.detach().std(dim=0, correction=0).mean()


def doublings(size: int) -> tuple[int, int]:
    """Side of a generator's first image, in [4, 8), and how often it is doubled to `size`.

    Raises ValueError where no such side leads there.
    """
    times = max(0, (size // 4).bit_length() - 1)
    if size % 2**times or not 4 <= size >> times < 8:
        raise ValueError(f"jcl makes images of 4 to 7 pixels a side times a power of two, not of {size}")
    return size >> times, times


def widths(times: int, filters: int) -> list[int]:
    """Channels of the images between the first and the last, in a generator's order: 512, 256, 128 for DCGAN's."""
    return [min(8, 2 ** (times - number)) * filters for number in range(times)]


def generator_of(shape: tuple[int, ...], latent: int, filters: int) -> nn.Sequential:
    """DCGAN's generator: (B, latent, 1, 1) -> pixels in [0, 1] of images (B, *shape)."""
    side, times = doublings(shape[1])
    channels = [latent, *widths(times, filters), shape[0]]
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(channels)):
        kernel = (side, 1, 0) if number == 0 else (4, 2, 1)
        layers.append(nn.ConvTranspose2d(before, after, *kernel, bias=False))
        if number < times:
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Sigmoid())


def critic_of(shape: tuple[int, ...], filters: int) -> nn.Sequential:
    """DCGAN's discriminator: images (B, *shape) -> logits (B, 1, 1, 1) of their being real."""
    side, times = doublings(shape[1])
    channels = [shape[0], *reversed(widths(times, filters))]
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(channels)):
        layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm2d(after)] * (number > 0) + [nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, side, bias=False))


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """DCGAN's weights: N(0, 0.02) for convolutions, N(1, 0.02) for the scales of batch norms."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
            nn.init.normal_(part.weight, float(isinstance(part, nn.BatchNorm2d)), 0.02, generator)
