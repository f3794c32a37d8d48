"""The project's sampler against the reference sampler, in turn, on the same trained discriminators.

Example: python benchmarks/sampler.py --networks resnet18 --pairs 3
"""

from dataclasses import replace
from statistics import median
from typing import Annotated

import cyclopts
import torch
from cyclopts import Parameter
from cyclopts.validators import Number
from digits import load_digits, train_some
from ratios import Count, Device, Pairs, Taken, print_head, print_machine, print_row, time_pairs
from reference_sampler import reference_sample
from torch import nn

from fig.data.arrays import Split
from fig.data.augment import Augmentation
from fig.data.batches import source_on
from fig.discriminator import Architecture, Discriminator
from fig.methods.implicit_generator import ImplicitGenerator
from fig.methods.penalty import compute_loss, share_of
from fig.methods.protocol import NETWORK, Method
from fig.methods.standard import Standard
from fig.methods.table import PenaltySettings
from fig.networks.table import NETWORKS
from fig.sampler import SamplerSettings, sample
from fig.seeding import generator
from fig.settings import Precision
from fig.training import TrainingSettings, batch_at, players_of, update

NEVER = 2.0  # a confidence that no batch exceeds


def chains(network: nn.Module) -> torch.Generator:
    """A generator where a network is."""
    return generator(0, "chains", device=next(network.parameters()).device)


def take_steps(network: nn.Module, batch: int, size: int, steps: int, settings: SamplerSettings, pairs: int) -> Taken:
    """Equal numbers of steps of a whole batch."""
    fixed, shape = replace(settings, min_steps=steps, max_steps=steps), (3, size, size)
    return time_pairs(
        lambda: reference_sample(network, batch, shape, steps, confident=NEVER),
        lambda: sample(network, batch, shape, fixed, chains(network)),
        pairs,
    )


def tell_speed(found: Taken, batch: int, steps: int) -> str:
    """How long a step of ours takes, and how many images of so many steps it makes."""
    seconds = median(spent.seconds for spent in found[1])
    return f"{1000 * seconds / steps:.2f} ms a step, {batch / seconds:,.0f} images/s"


def draw_samples(network: nn.Module, settings: SamplerSettings, samples: int, max_steps: int) -> tuple[Taken, str]:
    """Time to so many samples of the same mean confidence, and both mean confidences.

    Both stop a batch where its mean confidence exceeds 0.9; the reference's are of 12, ours of up to 125.
    """
    batch = min(125, samples)
    ours_stops = replace(settings, stop="batch", min_steps=1, max_steps=max_steps, noise="deviation")  # as theirs
    noise = chains(network)
    means: dict[str, list[float]] = {}

    def theirs() -> None:
        runs = (reference_sample(network, 12, (3, 32, 32), max_steps)[1] for _ in range(samples // 12))
        means["theirs"] = [run.mean().item() for run in runs]

    def ours() -> None:
        runs = (sample(network, batch, (3, 32, 32), ours_stops, noise).confidence for _ in range(samples // batch))
        means["ours"] = [run.mean().item() for run in runs]

    found = time_pairs(theirs, ours, 1, warm=False)
    return found, " and ".join(f"{sum(each) / len(each):.3f}" for each in means.values())


def finetune(discriminator: Discriminator, data: Split, settings: SamplerSettings, max_steps: int) -> Taken:
    """A whole fine-tuning iteration of 128 digits with K = 0.1: the reference's chains take all steps."""
    training = TrainingSettings(learning_rate=0.001, iterations=100)
    players = players_of(discriminator, Standard(), training, 0)
    batch = batch_at(discriminator, source_on(data, discriminator.device), Augmentation(32, 2), 0, training, 0)
    count = share_of(0.1, batch.total)

    class WithReference(Method):
        def losses(self, players, batch, generator):
            network = players[NETWORK]
            images, _, _ = reference_sample(network, count, (3, 32, 32), max_steps, 0.1**0.5, confident=NEVER)
            images = images.contiguous(memory_format=torch.channels_last)
            yield compute_loss(network, batch, images, count, PenaltySettings())

    def iteration(method) -> None:
        update(players, method, batch, chains(discriminator.network))

    return time_pairs(
        lambda: iteration(WithReference()), lambda: iteration(ImplicitGenerator(0.1, sampler=settings)), 1
    )


def main(
    *,
    networks: Annotated[list[str], Parameter(help="Repeatable.")] = list(NETWORKS),  # noqa: B006
    width: Annotated[float, Parameter(help="Factor of the networks' channels; samples are drawn at a quarter.")] = 1.0,
    batches: Annotated[list[int], Parameter(help="Chains that step together; repeatable.")] = [12, 128],  # noqa: B006
    steps: Annotated[Count, Parameter(help="Of each timed run at equal step counts.")] = 10,
    iterations: Annotated[Count, Parameter(help="Training iterations before sampling.")] = 15,
    max_steps: Annotated[Count, Parameter(help="Of the reference in fine-tuning, and of a sample.")] = 100,
    samples: Annotated[int, Parameter(validator=Number(gte=12), help="Samples to equal mean confidence.")] = 1000,
    large: Annotated[bool, Parameter(help="Time ResNet18 at 224 x 224 too.")] = True,
    precisions: Annotated[list[Precision], Parameter(help="Of ours; repeatable.")] = ["float32", "bfloat16"],  # noqa: B006
    pairs: Pairs = 3,
    device: Device = "cpu",
) -> None:
    """Print the sampler's table of docs/results/performance.md."""
    usual = "float32" if device == "cpu" else "torch's default (TF32 in convolutions; when fine-tuning, float32)"
    print_machine(device, f"the reference in {usual}, ours as its rows say")
    print_head("reference", "ours", "ours, or the mean confidence of both")
    chosen = {p: SamplerSettings(precision=p) for p in precisions}
    data = load_digits()
    for name in networks:
        discriminator = train_some(name, data, iterations, width, device)
        for batch in batches:
            for precision, settings in chosen.items():
                found = take_steps(discriminator.network, batch, 32, steps, settings, pairs)
                print_row(f"{steps} steps, {name}, batch {batch}, {precision}", *found, tell_speed(found, batch, steps))
        if name == "resnet18":
            quick = train_some(name, data, 10 * iterations, width / 4, device).network
            for precision, settings in chosen.items():
                found, confidence = draw_samples(quick, settings, samples, max_steps)
                print_row(f"{samples} samples, {name} of width {width / 4:g}, {precision}", *found, confidence)
                found = finetune(discriminator, data, settings, max_steps)
                print_row(f"fine-tuning iteration, T = {max_steps}, {name}, 128 + 13, {precision}", *found)
    if large:
        network = Discriminator(Architecture("resnet18", 10, 224, width)).to(device).network
        for precision, settings in chosen.items():
            found = take_steps(network, 12, 224, steps, settings, 1)
            print_row(f"{steps} steps, resnet18 at 224 x 224, batch 12, {precision}", *found)


if __name__ == "__main__":
    cyclopts.run(main)
