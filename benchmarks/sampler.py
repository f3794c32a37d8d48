"""The project's sampler against the reference sampler, in turn, on the same trained discriminators.

Example: python benchmarks/sampler.py --networks resnet18 --pairs 3
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import cyclopts
import torch
from cyclopts import Parameter
from cyclopts.validators import Number
from digits import digits, trained
from ratios import Device, Ratio, machine, ratio, seeded
from reference_sampler import reference_sample
from torch import nn

from fig.data.arrays import Split
from fig.data.augment import Augmentation
from fig.data.batches import source_on
from fig.discriminator import Architecture, Discriminator
from fig.methods.implicit_generator import ImplicitGenerator
from fig.methods.penalty import penalised, share_of
from fig.methods.protocol import NETWORK, Method
from fig.methods.standard import Standard
from fig.networks.table import NETWORKS
from fig.sampler import SamplerSettings, sample
from fig.settings import Precision
from fig.training import TrainingSettings, batch_at, players_of, update

STEPS = 10  # of each timed run at equal step counts
NEVER = 2.0  # a confidence that no batch exceeds


def per_step(network: nn.Module, batch: int, size: int, settings: SamplerSettings, pairs: int) -> Ratio:
    """Equal numbers of steps of a whole batch."""
    fixed, device = replace(settings, min_steps=STEPS, max_steps=STEPS), str(next(network.parameters()).device)
    shape = (3, size, size)
    return ratio(
        lambda: reference_sample(network, batch, shape, STEPS, confident=NEVER),
        lambda: sample(network, batch, shape, fixed, seeded(device)),
        pairs,
    )


def to_samples(network: nn.Module, settings: SamplerSettings, samples: int) -> tuple[Ratio, list[float]]:
    """Time to so many samples of the same mean confidence, and both mean confidences.

    Both stop a batch where its mean confidence exceeds 0.9; the reference's are of 12, ours of up to 125.
    """
    batch = min(125, samples)
    ours_stops = replace(settings, stop="batch", min_steps=0, max_steps=100, noise="deviation")
    generator = seeded(str(next(network.parameters()).device))
    means: dict[str, list[float]] = {}

    def theirs() -> None:
        runs = (reference_sample(network, 12, (3, 32, 32), 100)[1] for _ in range(samples // 12))
        means["theirs"] = [run.mean().item() for run in runs]

    def ours() -> None:
        runs = (sample(network, batch, (3, 32, 32), ours_stops, generator).confidence for _ in range(samples // batch))
        means["ours"] = [run.mean().item() for run in runs]

    found = ratio(theirs, ours, pairs=1, warm=False)
    return found, [sum(each) / len(each) for each in means.values()]


def finetuning(discriminator: Discriminator, data: Split, settings: SamplerSettings, pairs: int) -> Ratio:
    """A whole fine-tuning iteration of 128 digits with K = 0.1: the reference samples for T = 100 steps."""
    training = TrainingSettings(learning_rate=0.001, iterations=100)
    players = players_of(discriminator, Standard(), training, 0)
    batch = batch_at(discriminator, source_on(data, discriminator.device), Augmentation(32, 2), 0, training, 0)
    count = share_of(0.1, batch.total)

    class WithReference(Method):
        def losses(self, players, batch, generator):
            network = players[NETWORK]
            images, _, _ = reference_sample(network, count, (3, 32, 32), 100, 0.1**0.5, confident=NEVER)
            yield penalised(network, batch, images.contiguous(memory_format=torch.channels_last), count)

    def iteration(method) -> None:
        update(players, method, batch, seeded(str(discriminator.device)))

    return ratio(lambda: iteration(WithReference()), lambda: iteration(ImplicitGenerator(0.1, settings)), pairs)


def main(
    networks: Annotated[list[str], Parameter(help="Networks at full width; repeatable.")] = list(NETWORKS),  # noqa: B006
    pairs: Annotated[int, Parameter(validator=Number(gte=1), help="Timed pairs of each comparison.")] = 3,
    iterations: Annotated[int, Parameter(validator=Number(gte=1), help="Training iterations before sampling.")] = 15,
    samples: Annotated[int, Parameter(validator=Number(gte=12), help="Samples to equal mean confidence.")] = 1000,
    large: Annotated[bool, Parameter(help="Time ResNet18 at 224 x 224 too.")] = True,
    device: Device = "cpu",
    precisions: Annotated[list[Precision], Parameter(help="Of ours; repeatable.")] = ["float32", "bfloat16"],  # noqa: B006
) -> None:
    """Print the table of docs/results/performance.md."""
    print(machine(), flush=True)
    chosen = {p: SamplerSettings(precision=p) for p in precisions}
    with TemporaryDirectory() as folder:
        data = digits(Path(folder))
        for name in networks:
            discriminator = trained(name, data, iterations, device=device)
            for batch in (12, 128):
                for precision, settings in chosen.items():
                    found = per_step(discriminator.network, batch, 32, settings, pairs)
                    print(f"| per step | {name} | 32 | {batch} | {precision} | {found} |", flush=True)
            if name == "resnet18":
                quick = trained(name, data, 10 * iterations, 0.25, device).network
                for precision, settings in chosen.items():
                    found, (theirs, own) = to_samples(quick, settings, samples)
                    told = f"{found}; mean confidence {theirs:.3f} and {own:.3f}"
                    print(
                        f"| {samples} samples | {name}, width 0.25 | 32 | 12, 125 | {precision} | {told} |", flush=True
                    )
                    found = finetuning(discriminator, data, settings, 1)
                    print(f"| fine-tuning iteration | {name} | 32 | 128 + 13 | {precision} | {found} |", flush=True)
        if large:
            network = Discriminator(Architecture("resnet18", 10, 224)).to(device).network
            for precision, settings in chosen.items():
                found = per_step(network, 12, 224, settings, 1)
                print(f"| per step | resnet18 | 224 | 12 | {precision} | {found} |", flush=True)


if __name__ == "__main__":
    cyclopts.run(main)
