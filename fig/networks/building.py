"""Networks are built here: those that come with the project by their names, your own by a factory."""

import importlib
from collections.abc import Mapping
from pkgutil import resolve_name

import torch
from torch import nn

from fig.extras import missing_extra
from fig.networks import SMALL
from fig.networks.table import NETWORKS, module_of_network
from fig.settings import Maker


def build(name: str, classes: int, image_size: int, width: float = 1.0, seed: int = 0) -> nn.Module:
    """A freshly initialised network: images (B, 3, image_size, image_size) -> logits (B, classes).

    `width` multiplies the number of channels of every layer; `seed` alone determines the weights. Raises ValueError
    where no network has this name.
    """
    module = importlib.import_module(module_of_network(name))
    construct = getattr(module, NETWORKS[name].constructor.partition(":")[2])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = construct(classes, width, image_size < SMALL)
        return network


def imported(factory: str) -> Maker[nn.Module]:
    """The function that `package.module:function` or `…:Class.method` names; raises ValueError where there is none."""
    try:
        found: Maker[nn.Module] = resolve_name(factory)
        if not callable(found):
            raise ValueError("it is no function")
        return found
    except (ImportError, AttributeError, ValueError) as error:
        if isinstance(error, ModuleNotFoundError) and (sentence := missing_extra(error.name)):
            raise ValueError(f"factory {factory!r} cannot be imported: {sentence}") from error
        raise ValueError(
            f"factory {factory!r} cannot be imported ({error}): name it as package.module:function, importable from "
            "the working directory or PYTHONPATH"
        ) from error


def made_by(factory: str, arguments: Mapping[str, object]) -> nn.Module:
    """The network that a factory returns for these arguments; raises ValueError where it is none."""
    network = imported(factory)(**arguments)
    if not isinstance(network, nn.Module):
        raise ValueError(f"factory {factory!r} returned {type(network).__name__}, not a torch.nn.Module")
    return network
