"""The state of an unfinished job: saved whole or not at all, refused under another provenance key."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from fig.files import replacing
from fig.methods.protocol import Player
from fig.training import Row

FILE = "state.safetensors"


def optimised(players: Mapping[str, Player]) -> Iterator[tuple[str, torch.optim.Optimizer, Tensor]]:
    """Each weight that an optimiser moves, with a name of its own and the optimiser."""
    for name, player in players.items():
        if player.optimizer:
            weights = (weight for group in player.optimizer.param_groups for weight in group["params"])
            yield from ((f"optimizer.{name}.{index}.", player.optimizer, each) for index, each in enumerate(weights))


def save_checkpoint(folder: Path, key: str, players: Mapping[str, Player], done: int, rows: list[Row]) -> None:
    """Write weights, the optimisers' state, the number of iterations done and the history's rows into `folder`."""
    tensors = {
        f"weights.{name}.{weight}": value.contiguous()
        for name, player in players.items()
        for weight, value in player.module.state_dict().items()
    }
    for name, optimizer, weight in optimised(players):
        state = optimizer.state.get(weight, {})
        tensors |= {f"{name}{what}": value.contiguous() for what, value in state.items() if value is not None}
    with replacing(folder / FILE) as partial:
        save_file(tensors, partial, {"key": key, "done": str(done), "rows": json.dumps(rows)})


def load_checkpoint(folder: Path, key: str, players: Mapping[str, Player]) -> tuple[int, list[Row]]:
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
    for name, player in players.items():
        player.module.load_state_dict(below(f"weights.{name}.", tensors))
    for name, optimizer, weight in optimised(players):
        for what, value in below(name, tensors).items():
            optimizer.state[weight][what] = like(weight, value)
    return int(header["done"]), json.loads(header["rows"])


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def like(weight: Tensor, value: Tensor) -> Tensor:
    """What an optimiser keeps of a weight, on its device and laid out in memory as it; a counter as it is."""
    if value.shape != weight.shape:
        return value
    return torch.empty_like(weight, memory_format=torch.preserve_format, requires_grad=False).copy_(value)
