"""Weights in checkpoints, also in those of other projects: how files are nested, and how their names become ours.

OpenOOD's ResNet18_32x32 (and the networks of pytorch-cifar, which it comes from) computes what ours computes: they
differ by names alone.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fig.settings import Json

Weights = Mapping[str, Tensor]

NESTED = ("state_dict", "model_state_dict", "model", "net")  # under which trainings save weights among other things
PARALLEL = "module."  # what DataParallel puts before every name
OURS = {"shortcut": "downsample", "linear": "fc"}  # parts of a name in another project, and ours
OPENOOD = {"downsample": "shortcut"}  # parts of our ResNet18's names, and OpenOOD's
COUNTER = "num_batches_tracked"  # of a batch norm: nothing that it computes depends on it


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
    """Load a checkpoint into a network, also one whose names are another project's.

    Raises ValueError naming the file where the two do not fit, and what is missing.
    """
    wanted = network.state_dict()
    weights = adapt_names(weights_in(checkpoint), wanted)
    if misfit := describe_misfit(weights, wanted):
        raise ValueError(f"{checkpoint} does not fit the network: {misfit}")
    network.load_state_dict(weights)


def find_weights(held: Json) -> Json:
    """The state dict in what a checkpoint holds: the whole of it, or what it has under a usual name.

    The prefix that DataParallel gives to every name is taken off.
    """
    while isinstance(held, Mapping) and (key := next((k for k in NESTED if isinstance(held.get(k), Mapping)), None)):
        held = held[key]
    if isinstance(held, Mapping) and held and all(str(name).startswith(PARALLEL) for name in held):
        return {str(name).removeprefix(PARALLEL): value for name, value in held.items()}
    return held


def rename_parts(name: str, parts: Mapping[str, str]) -> str:
    """A weight's name with some of its dotted parts called otherwise."""
    return ".".join(parts.get(part, part) for part in name.split("."))


def adapt_names(found: Weights, wanted: Weights) -> dict[str, Tensor]:
    """The weights `found`, by the names that a network `wanted` has for them where it knows theirs by another."""

    def name_of(theirs: str) -> str:
        ours = rename_parts(theirs, OURS)
        return ours if theirs not in wanted and ours in wanted and ours not in found else theirs

    return {name_of(name): value for name, value in found.items()}


def describe_misfit(found: Weights, wanted: Weights) -> str:
    """What weights `found` lack of those that a network `wanted` has, or have besides; empty where they fit it."""
    lacking = [name for name in wanted if name not in found and not name.endswith(COUNTER)]
    besides = [name for name in found if name not in wanted]
    common = [name for name in found if name in wanted]
    shapes = [name for name in common if found[name].shape != wanted[name].shape]
    told = [f"it lacks {count_names(lacking)}"] if lacking else []
    told += [f"it has {count_names(besides)}, unknown to the network"] if besides else []
    told += [f"its {name} is {tuple(found[name].shape)}, not {tuple(wanted[name].shape)}" for name in shapes[:1]]
    return " and ".join(told)


def count_names(names: list[str]) -> str:
    """The first of some names, and how many more there are."""
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]


def name_as_openood(weights: Weights) -> dict[str, Tensor]:
    """The weights of our ResNet18 for small images by the names of OpenOOD's ResNet18_32x32."""
    return {rename_parts(name, OPENOOD): value for name, value in weights.items()}
