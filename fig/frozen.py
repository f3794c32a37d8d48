"""Freeze networks for the length of a with-block, or restore them after it."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_PLACES: "WeakKeyDictionary[nn.Module, dict[tuple[str, torch.dtype], Tensor]]" = WeakKeyDictionary()  # by module


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


def frozen_statistics(network: nn.Module) -> AbstractContextManager[None]:
    """Let batch norms normalise by their running statistics, as in a test, and leave these as they are in the block."""
    return clear_on_norms(network, "training")


def unrecorded_statistics(network: nn.Module) -> AbstractContextManager[None]:
    """Let batch norms normalise by a batch's statistics, and leave the running ones as they are in the block."""
    return clear_on_norms(network, "track_running_stats")


@contextmanager
def clear_on_norms(network: nn.Module, flag: str) -> Iterator[None]:
    """Clear a flag of the batch norms that are in training in the block."""
    norms = [
        each for each in network.modules() if isinstance(each, _BatchNorm) and each.training and getattr(each, flag)
    ]
    try:
        for norm in norms:
            setattr(norm, flag, False)
        yield
    finally:
        for norm in norms:
            setattr(norm, flag, True)


@contextmanager
def restore_parameters(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Let other tensors replace the modules' parameters in the block, then restore the parameters bit by bit."""
    before = [(module, dict(module._parameters)) for module in modules]
    try:
        yield
    finally:
        for module, parameters in before:
            module._parameters.clear()
            module._parameters.update(parameters)


def place_of(module: nn.Module, name: str, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the memory for a replacement of a module's `weight`: the same one every time, as CUDA graphs need.

    With four dimensions its layout is channels last. Its values are undefined.
    """
    places = _PLACES.setdefault(module, {})
    place = places.get((name, dtype))
    if place is None or place.shape != weight.shape or place.device != weight.device:
        layout = torch.channels_last if weight.ndim == 4 else torch.contiguous_format
        place = torch.empty_like(weight, dtype=dtype, requires_grad=False, memory_format=layout)
        places[name, dtype] = place
    return place
