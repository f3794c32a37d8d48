"""An iteration of every method against one of standard training, in turn, and what its arithmetic lets one expect.

Example: python benchmarks/methods.py --width 0.25
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from cyclopts.validators import Number
from digits import digits
from ratios import Device, machine, ratio, seeded
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from fig.data.augment import Augmentation
from fig.data.batches import source_on
from fig.discriminator import Architecture, Discriminator
from fig.methods.protocol import Method
from fig.methods.standard import Standard
from fig.methods.table import METHODS, build_method
from fig.training import TrainingSettings, batch_at, players_of, update


def iterations(method: Method, data, width: float, settings: TrainingSettings, device: str):
    """A function that trains for one more iteration each time it is called, on the same batch."""
    discriminator = Discriminator(Architecture("resnet18", 10, 32, width, head=method.head)).to(device)
    players = players_of(discriminator, method, settings, seed=0)
    batch = batch_at(discriminator, source_on(data, discriminator.device), Augmentation(32, 2), 0, settings, 0)
    return lambda: dict(update(players, method, batch, seeded(device), settings.precision))


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


def arithmetic(iteration) -> int:
    """Floating-point operations of an iteration, forward and backward."""
    with Counter() as counter:
        iteration()
    return counter.total


def main(
    width: Annotated[float, Parameter(help="Width of the ResNet18.")] = 0.25,
    pairs: Annotated[int, Parameter(validator=Number(gte=1), help="Timed pairs of each comparison.")] = 5,
    batch: Annotated[int, Parameter(validator=Number(gte=1), help="Images in a batch.")] = 128,
    filters: Annotated[
        int, Parameter(validator=Number(gte=1), help="Channels of the thinnest layer of JCL's GAN.")
    ] = 64,
    device: Device = "cpu",
) -> None:
    """Print the methods' table of docs/results/performance.md."""
    print(machine(), flush=True)
    settings = TrainingSettings(learning_rate=0.01, iterations=1, batch_size=batch)
    own = {"jcl": {"filters": filters}}
    with TemporaryDirectory() as folder:
        data = digits(Path(folder))
        standard = iterations(Standard(), data, width, settings, device)
        unit = arithmetic(standard)
        for name in METHODS:
            method = iterations(build_method(name, own.get(name, {})), data, width, settings, device)
            expected = arithmetic(method) / unit
            print(f"| {name} | {ratio(method, standard, pairs)} | {expected:.2f} |", flush=True)


if __name__ == "__main__":
    cyclopts.run(main)
