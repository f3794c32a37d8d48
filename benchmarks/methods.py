"""An iteration of every method against one of standard training, in turn, and what its arithmetic lets one expect.

Example: python benchmarks/methods.py --width 0.25
"""

from collections.abc import Callable
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from digits import load_digits
from ratios import Count, Device, Pairs, Width, print_head, print_machine, print_row, time_pairs
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from fig.data.arrays import Split
from fig.data.augment import Augmentation
from fig.data.batches import source_on
from fig.discriminator import Architecture, Discriminator
from fig.methods.protocol import Method
from fig.methods.standard import Standard
from fig.methods.table import METHODS, build_method
from fig.seeding import generator
from fig.training import TrainingSettings, batch_at, players_of, update


def iterations(
    method: Method, data: Split, width: float, settings: TrainingSettings, device: str
) -> Callable[[], dict[str, float]]:
    """A function that trains for one more iteration each time it is called, on the same batch."""
    discriminator = Discriminator(Architecture("resnet18", 10, 32, width, head=method.head)).to(device)
    players = players_of(discriminator, method, settings, seed=0)
    batch = batch_at(discriminator, source_on(data, discriminator.device), Augmentation(32, 2), 0, settings, 0)
    return lambda: dict(update(players, method, batch, generator(0, "chains", device=device), settings.precision))


class Counter(TorchDispatchMode):
    """Counts floating-point operations of products and convolutions.

    torch's own FlopCounterMode also follows modules, which fails where a method takes gradients by images.
    """

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if count := flop_registry.get(function._overloadpacket):
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def arithmetic(iteration: Callable[[], object]) -> int:
    """Floating-point operations of an iteration, forward and backward."""
    with Counter() as counter:
        iteration()
    return counter.total


def main(
    *,
    width: Width = 0.25,
    batch: Annotated[Count, Parameter(help="Images in a batch.")] = 128,
    filters: Annotated[Count, Parameter(help="Channels of the thinnest layer of JCL's GAN.")] = 64,
    pairs: Pairs = 3,
    device: Device = "cpu",
) -> None:
    """Print the methods' table of docs/results/performance.md."""
    print_machine(device)
    settings = TrainingSettings(learning_rate=0.01, iterations=1, batch_size=batch)
    own = {"jcl": {"filters": filters}}
    data = load_digits()
    standard = iterations(Standard(), data, width, settings, device)
    unit = arithmetic(standard)
    print_head("the method", "standard", "expected")
    for name in METHODS:
        method = iterations(build_method(name, own.get(name, {})), data, width, settings, device)
        expected = arithmetic(method) / unit
        print_row(name, *time_pairs(method, standard, pairs), f"{expected:.2f}")


if __name__ == "__main__":
    cyclopts.run(main)
