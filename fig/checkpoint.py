"""Checkpoints of unfinished jobs: load the last complete one, and refuse it under another provenance key."""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from fig.files import put_in_place, replacing
from fig.methods.protocol import Player
from fig.networks.weights import describe_misfit
from fig.settings import adapter_of, as_json
from fig.training import Row

FORMAT = "2"  # of what is written: the number changes with what can be read
FILES = ("state.safetensors", "previous.safetensors")  # the second takes the place of a first that is damaged

log = logging.getLogger("fig")


@dataclass(frozen=True)
class Progress:
    """How far a training has come."""

    done: int = 0  # iterations
    rows: tuple[Row, ...] = ()  # of the history
    since: tuple[Row, ...] = ()  # of the iterations after its last row


def average_rows(done: int, rows: Sequence[Row]) -> Row:
    """Make one row of the history from those of the iterations up to `done`; without any, it holds only the time."""
    means = {name: sum(row[name] for row in rows) / len(rows) for name in (rows[0] if rows else ())}
    return {"iteration": done, "time": round(time.time(), 3)} | means


def add_row(progress: Progress, done: int, row: Row, close: bool) -> Progress:
    """Return the progress after one more iteration; `close` ends a row of the history."""
    since = (*progress.since, row)
    if close:
        return Progress(done, (*progress.rows, average_rows(done, since)))
    return Progress(done, progress.rows, since)


def iterate_weights(players: Mapping[str, Player]) -> Iterator[tuple[str, torch.optim.Optimizer, Tensor]]:
    """Yield each weight that an optimiser moves, with a unique name and the optimiser."""
    for name, player in players.items():
        if player.optimizer:
            weights = (weight for group in player.optimizer.param_groups for weight in group["params"])
            yield from ((f"optimizer.{name}.{index}.", player.optimizer, each) for index, each in enumerate(weights))


def state_of(players: Mapping[str, Player]) -> dict[str, Tensor]:
    """Return the weights of the players and the state of their optimisers, by name, on the CPU."""
    tensors = {
        f"weights.{name}.{weight}": value
        for name, player in players.items()
        for weight, value in player.module.state_dict().items()
    }
    for name, optimizer, weight in iterate_weights(players):
        tensors |= {
            f"{name}{key}": value for key, value in optimizer.state.get(weight, {}).items() if value is not None
        }
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def digest(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    """Hash tensors and their metadata, to detect a damaged file."""
    found = hashlib.sha256(json.dumps(dict(header), sort_keys=True).encode())
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def key_of(network: nn.Module, asked: Mapping[str, object]) -> str:
    """Hash a network's weights and the request, so that unfinished work of another network or request is refused."""
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    return digest(weights, {"asked": json.dumps(dict(asked), default=as_json)})


def write_state(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write tensors and their metadata into a safetensors file, with a hash of both."""
    header = {**header, "format": FORMAT}
    save_file(dict(tensors), path, header | {"sha256": digest(tensors, header)})


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `write_state` wrote.

    Raises SafetensorError if the file is damaged, ValueError if another version of FIG wrote it.
    """
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
    if header.pop("sha256", "") != digest(tensors, header):
        raise SafetensorError("its hash is not that of its content")
    if header.pop("format", "") != FORMAT:
        raise ValueError(f"{path} was written by another version of FIG: delete it to start afresh")
    return tensors, header


def save_checkpoint(folder: Path, key: str, players: Mapping[str, Player], progress: Progress) -> None:
    """Write the players' state and the progress into `folder`, and keep the previous checkpoint."""
    rows, since = ([dict(row) for row in some] for some in (progress.rows, progress.since))
    header = {"key": key, "progress": json.dumps([progress.done, rows, since])}
    with replacing(folder / FILES[0]) as partial:
        write_state(partial, state_of(players), header)
        if (folder / FILES[0]).exists():
            put_in_place(folder / FILES[0], folder / FILES[1])


def load_checkpoint(folder: Path, key: str, players: Mapping[str, Player]) -> Progress:
    """Restore the last complete checkpoint in `folder`; without one, change nothing.

    A warning reports a damaged one. Raises ValueError if the checkpoint has another provenance key, so comes from
    another job.
    """
    for path in (folder / name for name in FILES):
        if not path.exists():
            continue
        try:
            tensors, progress = read_checkpoint(path, key, players)
        except SafetensorError as error:
            log.warning("%s is damaged (%s) and is not used", path, error)
            continue
        restore(players, tensors)
        return progress
    return Progress()


def read_checkpoint(path: Path, key: str, players: Mapping[str, Player]) -> tuple[dict[str, Tensor], Progress]:
    """Return the players' state and the progress in a checkpoint.

    Raises ValueError if it has another provenance key, SafetensorError if it is damaged.
    """
    tensors, header = read_state(path)
    if header.get("key", key) != key:
        raise ValueError(f"{path} belongs to job {header['key']}, not to {key}: delete it to start afresh")
    for name, player in players.items():
        if misfit := describe_misfit(below(f"weights.{name}.", tensors), player.module.state_dict()):
            raise SafetensorError(f"it does not fit the network: {misfit}")
    try:
        parts = zip(("done", "rows", "since"), json.loads(header["progress"]), strict=True)
        return tensors, adapter_of(Progress).validate_python(dict(parts))
    except (LookupError, RecursionError, TypeError, ValueError) as error:
        raise SafetensorError("it does not say how far it came") from error


def restore(players: Mapping[str, Player], tensors: Mapping[str, Tensor]) -> None:
    """Restore the players to a state that `state_of` returned."""
    for name, player in players.items():
        player.module.load_state_dict(below(f"weights.{name}.", tensors))
    for name, optimizer, weight in iterate_weights(players):
        for what, value in below(name, tensors).items():
            optimizer.state[weight][what] = like(weight, value)


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names have a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def like(weight: Tensor, value: Tensor) -> Tensor:
    """Return an optimiser's state of a weight, on its device and in its memory layout; a counter stays unchanged."""
    if value.shape != weight.shape:
        return value
    return torch.empty_like(weight, memory_format=torch.preserve_format, requires_grad=False).copy_(value)
