"""How many images a second each network is trained on, for the table of fig/rates.py, and the arithmetic of each.

Example: python benchmarks/rates.py --device cuda --precisions float32 tf32 float16 bfloat16
"""

from collections.abc import Callable
from statistics import median
from typing import Annotated

import cyclopts
import torch
from cyclopts import Parameter
from ratios import Count, Device, print_cells, print_machine, print_table, spend
from torch.utils.flop_counter import FlopCounterMode

from fig.discriminator import Architecture, Discriminator
from fig.methods.batch import Batch
from fig.methods.standard import Standard
from fig.networks.table import NETWORKS
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


def measure(iteration: Callable[[], object], count: int, device: str) -> float:
    """Seconds of an iteration, of a core or on a GPU by the clock: the median of `count`, after one more."""
    iteration()
    spent = [spend(iteration) for _ in range(count)]
    return median(each.core if device == "cpu" else each.seconds for each in spent)


def count_flops(iteration: Callable[[], object]) -> int:
    """Floating-point operations of an iteration."""
    with FlopCounterMode(display=False) as counter:
        iteration()
    return counter.get_total_flops()


def main(
    *networks: Annotated[str, Parameter(help="Networks; all where none is named.")],
    widths: Annotated[tuple[float, ...], Parameter(consume_multiple=True, help="Widths.")] = (1.0, 0.25, 0.125),
    precisions: Annotated[tuple[Precision, ...], Parameter(consume_multiple=True)] = ("float32",),
    batch: Annotated[Count, Parameter(help="Images in a batch.")] = 128,
    count: Annotated[Count, Parameter(help="Iterations that are timed.")] = 3,
    device: Device = "cpu",
) -> None:
    """Print a row for each network, width and precision; on a CPU torch has one thread."""
    torch.set_num_threads(1)
    print_machine(device, ", ".join(precisions))
    print_table(["network", "width", "precision", "images a second", "GFLOP an image"])
    for width in widths:
        for name in networks or NETWORKS:
            for precision in precisions:
                iteration = iteration_of(name, width, precision, batch, device)
                arithmetic = count_flops(iteration) / batch / 1e9
                rate = batch / measure(iteration, count, device)
                print_cells(name, f"{width:g}", precision, f"{rate:,.1f}", f"{arithmetic:.3f}")


if __name__ == "__main__":
    cyclopts.run(main)
