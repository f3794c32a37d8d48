"""The state of an unfinished job: saved whole or not at all, refused under another provenance key."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fig.discriminator import Discriminator
from fig.files import replacing
from fig.training import Row

FILE = "state.safetensors"


def save_checkpoint(
    folder: Path, key: str, discriminator: Discriminator, optimizer: torch.optim.SGD, done: int, rows: list[Row]
) -> None:
    """Write weights, momentum, the number of iterations done and the history's rows into `folder`."""
    names = [name for name, _ in discriminator.named_parameters()]
    momenta = [optimizer.state[p].get("momentum_buffer") for p in discriminator.parameters()]
    tensors = {f"weights.{name}": value.contiguous() for name, value in discriminator.state_dict().items()}
    tensors |= {f"momentum.{n}": m.contiguous() for n, m in zip(names, momenta, strict=True) if m is not None}
    with replacing(folder / FILE) as partial:
        save_file(tensors, partial, {"key": key, "done": str(done), "rows": json.dumps(rows)})


def load_checkpoint(
    folder: Path, key: str, discriminator: Discriminator, optimizer: torch.optim.SGD
) -> tuple[int, list[Row]]:
    """Restore what `save_checkpoint` wrote: iterations done and rows; 0 and none where nothing was saved.

    Raises ValueError where the checkpoint was made under another provenance key, so by another job.
    """
    if not (folder / FILE).exists():
        return 0, []
    with safe_open(folder / FILE, framework="pt") as file:
        header = file.metadata()
        if header["key"] != key:
            raise ValueError(f"{folder / FILE} belongs to job {header['key']}, not to {key}: delete it to start afresh")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
    weights = {name.removeprefix("weights."): t for name, t in tensors.items() if name.startswith("weights.")}
    discriminator.load_state_dict(weights)
    for name, parameter in discriminator.named_parameters():
        if (momentum := tensors.get(f"momentum.{name}")) is not None:
            buffer = torch.empty_like(parameter, memory_format=torch.preserve_format)
            optimizer.state[parameter]["momentum_buffer"] = buffer.copy_(momentum)
    return int(header["done"]), json.loads(header["rows"])
