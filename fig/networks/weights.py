"""Weights in checkpoints, also in those of other projects: how files are nested, and how their names become ours.

OpenOOD's ResNet18_32x32 (and the networks of pytorch-cifar, which it comes from) computes what ours computes: they
differ by names alone.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from warnings import catch_warnings
from zipfile import ZIP_STORED, ZipFile, is_zipfile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fig.settings import Json

Weights = Mapping[str, Tensor]

NESTED = ("state_dict", "model_state_dict", "model", "net")  # under which trainings save weights among other things
PARALLEL = "module."  # what DataParallel puts before every name
OURS = {"shortcut": "downsample", "linear": "fc"}  # parts of a name in another project, and ours
OPENOOD = {"downsample": "shortcut"}  # parts of our ResNet18's names, and OpenOOD's
MAGIC = {  # first bytes of files in formats that FIG does not read
    b"GGUF": "a GGUF file",
    b"\x89HDF": "an HDF5 file, as Keras writes them",
    b"\x93NUMPY": "an array of NumPy",
}
SAVE = "save the weights alone, by torch.save(network.state_dict(), path)"
COPY = "copy it again, or make it again"
COUNTER = "num_batches_tracked"  # of a batch norm: nothing that it computes depends on it


def weights_in(checkpoint: Path) -> dict[str, Tensor]:
    """Read a state dict, plain or nested as usual, from a safetensors file or a PyTorch file without code.

    Nothing in a file is run. Raises ValueError naming the file, and what it is, if it has another format.
    """
    try:
        check_container(checkpoint)
        if checkpoint.suffix == ".safetensors":
            return load_file(checkpoint)
        with catch_warnings(action="ignore"):  # about how others wrote it
            found = find_weights(torch.load(checkpoint, map_location="cpu", weights_only=True))
        if not isinstance(found, dict) or not all(is_weight(name, value) for name, value in found.items()):
            raise ValueError("it holds other things")
    except Exception as error:  # the two libraries raise many types for files of another format
        what = f"{checkpoint} is no weights file (safetensors or a state dict): {reason_of(error)}"
        raise ValueError(f"{what}; {COPY if checkpoint.suffix == '.safetensors' else SAVE}") from error
    return found


def check_container(checkpoint: Path) -> None:
    """Raise ValueError, saying what a file is, if it cannot hold weights; only its beginning and end are read."""
    if not checkpoint.is_file():
        raise ValueError("it is a folder" if checkpoint.is_dir() else "there is no such file")
    with checkpoint.open("rb") as file:
        begin = file.read(8)
    if not begin:
        raise ValueError("it is empty")
    if known := next((what for magic, what in MAGIC.items() if begin.startswith(magic)), ""):
        raise ValueError(f"it is {known}")
    if checkpoint.suffix == ".safetensors" or not begin.startswith(b"PK"):
        return
    if not is_zipfile(checkpoint):
        raise ValueError("it is truncated")
    with ZipFile(checkpoint) as parts:
        names = {part.filename.rpartition("/")[2] for part in parts.infolist()}
        packed = any(part.compress_type != ZIP_STORED for part in parts.infolist())
    if "constants.pkl" in names:
        raise ValueError("it is a program of TorchScript")
    if "data.pkl" not in names:
        raise ValueError("it is a zip file that PyTorch did not write")
    if packed:  # and could unpack to any size
        raise ValueError("its parts are compressed, as PyTorch writes none")


def is_weight(name: object, value: object) -> bool:
    """Whether an entry of a file is a weight: its name is a text, its value a dense tensor with data."""
    return isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta


def reason_of(error: Exception) -> str:
    """Explain why a file could not be read, because torch's own message advises running its content."""
    if isinstance(error, ValueError | OSError | RuntimeError | SafetensorError):
        return str(error).splitlines()[0]
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    return f"it names {named[1]}, which is code, and only tensors are read" if named else "its content is neither"


def load_weights(network: nn.Module, checkpoint: Path) -> None:
    """Load a checkpoint into a network, even if its names come from another project.

    Raises ValueError naming the file, and what is missing, if the two do not fit, or if a weight is not finite.
    """
    put_weights(network, weights_in(checkpoint), checkpoint)


def put_weights(network: nn.Module, found: Weights, checkpoint: Path) -> None:
    """Load weights from a checkpoint; floating-point weights are cast to the network's precision."""
    wanted = network.state_dict()
    weights = adapt_names(found, wanted)
    check_fit(weights, wanted, checkpoint)
    learnt = dict(network.named_parameters())
    for name, value in weights.items():
        if not (value.isfinite() if name in learnt else ~value.isnan()).all():  # a mask may be infinite
            raise ValueError(
                f"{checkpoint} holds a {name} that is not finite: it was damaged, or its training diverged"
            )
    network.load_state_dict(weights)


def check_fit(weights: Weights, wanted: Weights, checkpoint: Path) -> None:
    """Raise ValueError naming the file of some weights if they do not fit the network `wanted`."""
    if misfit := describe_misfit(weights, wanted):
        raise ValueError(f"{checkpoint} does not fit the network: {misfit}")


def find_weights(held: Json) -> Json:
    """Return the state dict in a checkpoint: the whole content, or what it holds under a usual name.

    The prefix that DataParallel adds to every name is removed.
    """
    while isinstance(held, Mapping) and (key := next((k for k in NESTED if isinstance(held.get(k), Mapping)), None)):
        held = held[key]
    if isinstance(held, Mapping) and held and all(str(name).startswith(PARALLEL) for name in held):
        return {str(name).removeprefix(PARALLEL): value for name, value in held.items()}
    return held


def rename_parts(name: str, parts: Mapping[str, str]) -> str:
    """Rename some of the dotted parts of a weight's name."""
    return ".".join(parts.get(part, part) for part in name.split("."))


def adapt_names(found: Weights, wanted: Weights) -> dict[str, Tensor]:
    """Return the weights `found` under the names that the network `wanted` has for them."""

    def name_of(theirs: str) -> str:
        ours = rename_parts(theirs, OURS)
        return ours if theirs not in wanted and ours in wanted and ours not in found else theirs

    return {name_of(name): value for name, value in found.items()}


def describe_misfit(found: Weights, wanted: Weights) -> str:
    """Describe which of the `wanted` weights of a network `found` lacks, or has in addition; empty if they fit."""
    lacking = [name for name in wanted if name not in found and not name.endswith(COUNTER)]
    unknown = [name for name in found if name not in wanted]
    common = [name for name in found if name in wanted]
    shapes = [name for name in common if found[name].shape != wanted[name].shape]
    reasons = [f"it lacks {count_names(lacking)}"] if lacking else []
    reasons += [f"it has {count_names(unknown)}, unknown to the network"] if unknown else []
    reasons += [f"its {name} is {tuple(found[name].shape)}, not {tuple(wanted[name].shape)}" for name in shapes[:1]]
    kinds = [name for name in common if found[name].is_floating_point() != wanted[name].is_floating_point()]
    reasons += [f"its {name} is of {found[name].dtype}, not {wanted[name].dtype}" for name in kinds[:1]]
    return " and ".join(reasons)


def count_names(names: list[str]) -> str:
    """Format the first of some names, and how many more there are."""
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]


def name_as_openood(weights: Weights) -> dict[str, Tensor]:
    """Return the weights of our ResNet18 for small images under the names of OpenOOD's ResNet18_32x32."""
    return {rename_parts(name, OPENOOD): value for name, value in weights.items()}
