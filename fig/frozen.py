"""A network that cannot change for the length of a with-block."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(network: nn.Module) -> Iterator[nn.Module]:
    """Hold `network` in eval mode and its weights without gradients, then restore every flag as it was."""
    training = [(module, module.training) for module in network.modules()]
    trainable = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        network.eval().requires_grad_(False)
        yield network
    finally:
        for module, mode in training:
            module.training = mode
        for parameter, flag in trainable:
            parameter.requires_grad_(flag)
