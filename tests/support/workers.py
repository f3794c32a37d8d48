"""Several workers of one job on this machine: processes that share a gloo group, without Ray."""

from collections.abc import Callable
from multiprocessing import set_forkserver_preload
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
import torch.distributed as dist
import torch.multiprocessing as processes

Given = ParamSpec("Given")
Value = TypeVar("Value")


def run_on_gloo(count: int, folder: Path, function: Callable[Given, Value], *given: Given.args) -> list[Value]:
    """Call a function of a module in `count` processes, which meet in a folder; the values by rank."""
    torch.save(given, folder / "given.pt")  # arguments alone would let the workers share the memory of tensors
    set_forkserver_preload(["fig.evaluation", "fig.networks.building", "fig.training"])  # imported once for all workers
    processes.start_processes(work, (count, folder, function), nprocs=count, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(count)]


def work(rank: int, count: int, folder: Path, function: Callable[..., object]) -> None:
    """Be one of the workers, and leave the function's value."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=count)
    given = torch.load(folder / "given.pt", weights_only=False)
    torch.save(function(*given), folder / f"{rank}.pt")
    dist.barrier()  # one that left early would break off the others' meeting
    dist.destroy_process_group()
