"""How many signs of the energy's gradient each precision turns, against float64, on a discriminator of digits.

On a CPU, which has no TF32, that is emulated: the operands of products are rounded to its ten bits of mantissa.

Example: python benchmarks/precision.py --width 0.25
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Annotated, get_args

import cyclopts
import torch
from cyclopts import Parameter
from digits import load_digits, train_some
from ratios import Count, Device, Width, print_cells, print_machine, print_table
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear
from torch.nn.grad import conv2d_input

from fig.langevin import initial, logits_and_gradient
from fig.sampler import prepare_network, sample
from fig.seeding import generator
from fig.settings import Precision, SamplerSettings

SHAPE = (3, 32, 32)
DROPPED = 13  # bits of a float32's mantissa that TF32 lacks


def rounded(values: Tensor) -> Tensor:
    """The nearest numbers of TF32."""
    bits = values.contiguous().view(torch.int32)
    return (((bits + (1 << (DROPPED - 1))) >> DROPPED) << DROPPED).view(torch.float32)


class Product(torch.autograd.Function):
    """A convolution or a linear layer of rounded operands, forward and back to its input."""

    @staticmethod
    def forward(ctx, values: Tensor, layer: nn.Conv2d | nn.Linear) -> Tensor:
        ctx.shape, ctx.layer = values.shape, layer
        if isinstance(layer, nn.Linear):
            return linear(rounded(values), rounded(layer.weight), layer.bias)
        how = layer.stride, layer.padding, layer.dilation, layer.groups
        return conv2d(rounded(values), rounded(layer.weight), layer.bias, *how)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        layer, weight, gradient = ctx.layer, rounded(ctx.layer.weight), rounded(gradient)
        if isinstance(layer, nn.Linear):
            return gradient @ weight, None
        how = layer.stride, layer.padding, layer.dilation, layer.groups
        return conv2d_input(ctx.shape, weight, gradient, *how), None


@contextmanager
def emulate_tf32(network: nn.Module) -> Iterator[None]:
    """Hold a network whose products are those of TF32."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in layers:
        layer.forward = partial(lambda layer, values: Product.apply(values, layer), layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def find_signs(network: nn.Module, images: Tensor, precision: Precision) -> Tensor:
    """Signs of the energy's gradient by the images, on the network as the sampler holds it."""
    settings = SamplerSettings(precision=precision)
    with prepare_network(network, images, settings):
        if precision == "tf32" and images.device.type == "cpu":
            with emulate_tf32(network):
                return logits_and_gradient(network, images, settings.c)[1].sign()
        return logits_and_gradient(network, images, settings.c)[1].sign()


def share_turned(network: nn.Module, images: Tensor) -> Callable[[Precision], float]:
    """The share of signs that differ from float64's, by precision."""
    exact = find_signs(deepcopy(network).double(), images.double(), "float32")
    return lambda precision: (find_signs(network, images, precision) != exact).double().mean().item()


def main(
    *,
    width: Width = 0.25,
    iterations: Annotated[Count, Parameter(help="Training iterations before.")] = 150,
    count: Annotated[Count, Parameter(help="Images.")] = 128,
    device: Device = "cpu",
) -> None:
    """Print the table on signs of docs/results/performance.md."""
    print_machine(device, "as the rows say")
    network = train_some("resnet18", load_digits(), iterations, width, device).network
    draw, fixed = generator(0, "images", device=torch.device(device)), SamplerSettings(min_steps=10, max_steps=10)
    noise = initial(count, SHAPE, fixed, draw, torch.arange(count, device=device)).images
    kinds = [share_turned(network, images) for images in (noise, sample(network, count, SHAPE, fixed, draw).images)]
    print_table(["precision", "noise", "after 10 steps"])
    for precision in get_args(Precision):
        print_cells(precision, *(f"{turned(precision):.3%}" for turned in kinds))


if __name__ == "__main__":
    cyclopts.run(main)
