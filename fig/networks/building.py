"""Networks are built here: those that come with the project by their names, your own by a factory; with weights."""

import importlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fig.extras import missing_extra
from fig.networks import SMALL
from fig.networks.layouts import adapt_names, describe_misfit, find_weights
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
    """The function that `package.module:function` names; raises ValueError where there is none."""
    module, _, function = factory.partition(":")
    try:
        found: Maker[nn.Module] = getattr(importlib.import_module(module), function)
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


def weights_in(checkpoint: Path) -> dict[str, Tensor]:
    """A state dict from a safetensors file or from a PyTorch file that holds no code to run: plain, or nested as usual.

    Raises ValueError naming the file where it is neither.
    """
    try:
        if checkpoint.suffix == ".safetensors":
            return load_file(checkpoint)
        found = find_weights(torch.load(checkpoint, map_location="cpu", weights_only=True))
    except Exception as error:  # whatever the two libraries raise for files that are not theirs
        reason = str(error).splitlines()[0]
        raise ValueError(f"{checkpoint} is no weights file (safetensors or a state dict): {reason}") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"{checkpoint} is no weights file (safetensors or a state dict): it holds other things")
    return found


def load_weights(network: nn.Module, checkpoint: Path) -> None:
    """Load a checkpoint into a network, also one whose names are another project's (fig/networks/layouts.py).

    Raises ValueError naming the file where the two do not fit, and what is missing.
    """
    wanted = network.state_dict()
    weights = adapt_names(weights_in(checkpoint), wanted)
    if misfit := describe_misfit(weights, wanted):
        raise ValueError(f"{checkpoint} does not fit the network: {misfit}")
    network.load_state_dict(weights)
