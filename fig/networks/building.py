"""Build networks: those of the project by name, your own with a factory."""

import re
import sys
from collections.abc import Mapping
from functools import partial
from importlib import import_module

import torch
from torch import nn

from fig.extras import missing_extra
from fig.networks import SMALL
from fig.networks.table import NETWORKS, module_of_network
from fig.settings import Maker

FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)?")
NAMING = "name it as package.module:function, importable from the working directory or PYTHONPATH"


def build(name: str, classes: int, image_size: int, width: float = 1.0, seed: int = 0) -> nn.Module:
    """Build a freshly initialised network: images (B, 3, image_size, image_size) -> logits (B, classes).

    `width` multiplies the number of channels of every layer; `seed` alone determines the weights. Raises ValueError
    where no network has this name.
    """
    module = import_module(module_of_network(name))
    construct = getattr(module, NETWORKS[name].constructor.partition(":")[2])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = construct(classes, width, image_size < SMALL)
        return network


def import_factory(factory: str) -> Maker[nn.Module]:
    """Import the function that `package.module:function` or `…:Class.method` names; raises ValueError if it is missing.

    Functions of Python's standard library are refused: they make no networks, and many could do harm.
    """
    if not FACTORY.fullmatch(factory):
        raise ValueError(f"factory {factory!r} is no such name: {NAMING}")
    module, _, name = factory.partition(":")
    check_origin(factory, module)
    *classes, last = name.split(".")
    try:
        owner = import_module(module)
        for each in classes:
            if not isinstance(owner := getattr(owner, each), type):
                raise ValueError(f"{each} is no class")
        found: Maker[nn.Module] = getattr(owner, last)
        if not callable(found):
            raise ValueError("it is no function")
    except (ImportError, AttributeError, SyntaxError, ValueError) as error:
        if isinstance(error, ModuleNotFoundError) and (sentence := missing_extra(error.name)):
            raise ValueError(f"factory {factory!r} cannot be imported: {sentence}") from error
        raise ValueError(f"factory {factory!r} cannot be imported ({error}): {NAMING}") from error
    maker: object = found
    while isinstance(maker, partial):
        maker = maker.func
    check_origin(factory, str(getattr(maker, "__module__", "")))
    return found


def check_origin(factory: str, module: str) -> None:
    """Raise ValueError if the module of a factory belongs to Python's standard library."""
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise ValueError(f"factory {factory!r} is of Python's own library, in which nothing makes a network: {NAMING}")


def made_by(factory: str, arguments: Mapping[str, object]) -> nn.Module:
    """Return a factory's network for these arguments; raises ValueError if it returns anything else."""
    maker = import_factory(factory)
    try:
        network = maker(**arguments)
    except TypeError as error:  # arguments that it does not take
        raise ValueError(f"factory {factory!r} failed with its arguments: {error}") from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"factory {factory!r} returned {type(network).__name__}, not a torch.nn.Module")
    return network
