"""Networks that cannot change for the length of a with-block, or are put back as they were after it."""

from collections.abc import Iterable, Iterator
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


@contextmanager
def restored(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Let other tensors take the place of the modules' parameters, then put their own back, to the bit."""
    before = [(module, dict(module._parameters)) for module in modules]
    try:
        yield
    finally:
        for module, parameters in before:
            module._parameters.clear()
            module._parameters.update(parameters)
