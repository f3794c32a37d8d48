"""How many images a second each network is trained on, for the table of fig/rates.py, and the arithmetic of each.

Example: python benchmarks/rates.py --device cuda --precisions float32 tf32 float16 bfloat16
"""

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Annotated

import cyclopts
import torch
from cyclopts import Parameter
from cyclopts.validators import Number
from torch.utils.flop_counter import FlopCounterMode

from fig.discriminator import Architecture, Discriminator
from fig.methods.batch import Batch
from fig.methods.standard import Standard
from fig.networks.table import NETWORKS
from fig.runtime.cluster import name_device
from fig.seeding import generator
from fig.settings import Precision, TrainingSettings
from fig.training import players_of, update

SIDE = 32  # pixels


def iteration_of(name: str, width: float, precision: Precision, batch: int, device: str) -> Callable[[], object]:
    """A function that trains a new network for one more iteration each time it is called, on the same batch."""
    discriminator = Discriminator(Architecture(name, 10, SIDE, width)).to(device)
    settings = TrainingSettings(learning_rate=0.01, iterations=1, batch_size=batch, precision=precision)
    players = players_of(discriminator, Standard(), settings, seed=0)
    images = torch.rand(batch, 3, SIDE, SIDE, generator=generator(0, "images")) * 2 - 1
    inputs = images.to(device).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(batch, device=device) % 10
    given = Batch(inputs, labels, *discriminator.range, begins_epoch=False, rank=0, workers=1)
    return lambda: dict(update(players, Standard(), given, generator(0, "chains", device=device), precision))


def clock(device: str) -> float:
    """Seconds of this process's core; with a GPU those of the clock, when the GPU has nothing left to do."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def measure(iteration: Callable[[], object], count: int, device: str) -> float:
    """Seconds of an iteration: the median of `count`, after one that does not count."""
    iteration()
    times = []
    for _ in range(count):
        began = clock(device)
        iteration()
        times.append(clock(device) - began)
    return median(times)


def count_flops(iteration: Callable[[], object]) -> int:
    """Floating-point operations of an iteration."""
    with FlopCounterMode(display=False) as counter:
        iteration()
    return counter.get_total_flops()


def main(
    *networks: Annotated[str, Parameter(help="Networks; all where none is named.")],
    widths: Annotated[tuple[float, ...], Parameter(consume_multiple=True, help="Widths.")] = (1.0, 0.25, 0.125),
    precisions: Annotated[tuple[Precision, ...], Parameter(consume_multiple=True)] = ("float32",),
    batch: Annotated[int, Parameter(validator=Number(gte=1), help="Images in a batch.")] = 128,
    count: Annotated[int, Parameter(validator=Number(gte=1), help="Iterations that are timed.")] = 3,
    device: Annotated[str, Parameter(help="Where networks are trained: cpu, cuda, cuda:1.")] = "cpu",
) -> None:
    """Print a row for each network, width and precision; on a CPU torch has one thread."""
    torch.set_num_threads(1)
    cores = f"{len(os.sched_getaffinity(0))} cores of {name_device(0)}, torch {torch.__version__} on 1"
    named = f"{device} ({name_device(1)})" if device != "cpu" else device
    print(f"{cores}, device: {named}, precision: {', '.join(precisions)}\n", flush=True)
    print("| network | width | precision | images a second | GFLOP an image |\n| --- | --- | --- | --- | --- |")
    for width in widths:
        for name in networks or NETWORKS:
            for precision in precisions:
                iteration = iteration_of(name, width, precision, batch, device)
                arithmetic = count_flops(iteration) / batch / 1e9
                rate = batch / measure(iteration, count, device)
                print(f"| {name} | {width:g} | {precision} | {rate:,.1f} | {arithmetic:.3f} |", flush=True)


if __name__ == "__main__":
    cyclopts.run(main)
