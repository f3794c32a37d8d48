"""This process among the workers that share a job: one process is rank 0 of 1."""

import io
import logging
from collections.abc import Iterable, Sequence
from typing import Protocol, Self, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

Object = TypeVar("Object")

log = logging.getLogger("fig")


def workers() -> int:
    """How many processes share the job."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def sum_over_workers(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its sum over the workers, in one exchange."""
    tensors = list(tensors)
    if workers() == 1 or not tensors:
        return
    flat = flatten(tensors)
    dist.all_reduce(flat)
    put_back(flat, tensors)


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """All entries of some tensors, one after the other, in float32: what is sent in one exchange."""
    return torch.cat([tensor.detach().flatten().float() for tensor in tensors])


def put_back(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    """Put what `flatten` made of tensors, or what became of it, in their places."""
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.detach().copy_(part.view_as(tensor))


def gather_parts(part: Tensor, total: int) -> Tensor:
    """Rows that the workers hold in turn (0, 1, ..., 0, 1, ...) in their order again: -> (total, ...)."""
    if workers() == 1:
        return part
    parts = gather_objects(part.cpu())
    whole = torch.empty((total, *part.shape[1:]), dtype=part.dtype)
    for index, rows in enumerate(parts):
        whole[index :: workers()] = rows
    return whole


def gather_objects(mine: Object) -> list[Object]:
    """What every worker holds, in the order of their ranks."""
    parts: list[Object | None] = [None] * workers()
    dist.all_gather_object(parts, mine)
    return cast(list[Object], parts)  # each place was filled


class Mergeable(Protocol):
    """What each worker fills on its own."""

    def merge(self, other: Self) -> None:
        """Take over what another worker's has."""


T = TypeVar("T", bound=Mergeable)


def merge_workers(mine: dict[str, T]) -> dict[str, T]:
    """What all workers hold under each name as one, the same on every worker: merged in the order of their ranks.

    Its tensors are on the CPU then: a worker does not see the others' GPUs.
    """
    if workers() == 1:
        return mine
    written = io.BytesIO()
    torch.save(mine, written)
    parts = gather_objects(written.getvalue())
    loaded = [torch.load(io.BytesIO(part), map_location="cpu", weights_only=False) for part in parts]
    first, *others = cast(list[dict[str, T]], loaded)
    for name, value in first.items():
        for other in others:
            value.merge(other[name])
    return first


def own_device() -> torch.device:
    """This process's GPU where it sees one, else the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def device_for(gpus: float) -> torch.device:
    """Where a worker computes that was given so many GPUs: on its own one, or on the CPU where it was given none.

    Warns where it was given one and sees none.
    """
    found = own_device() if gpus else torch.device("cpu")
    if gpus and found.type == "cpu":
        log.warning("this worker was given %g of a GPU and sees none: it works on the CPU", gpus)
    return found
