"""Time two ways of doing the same in turn in one process, so that other load on the machine affects both equally.

A benchmark prints a line about where it runs, the head of a table, and a row for each comparison. Processes that it
starts import its modules too: for them torch is not imported here before something is timed.
"""

import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from statistics import median
from typing import Annotated, NamedTuple

import psutil
from cyclopts import Parameter
from cyclopts.validators import Number
from tqdm import tqdm

Count = Annotated[int, Parameter(validator=Number(gte=1))]
Pairs = Annotated[int, Parameter(validator=Number(gte=1), help="Times that each way is timed, in turn.")]
Width = Annotated[float, Parameter(help="Factor of the ResNet18's channels.")]
Device = Annotated[str, Parameter(help="Where both ways compute: cpu, cuda, cuda:1.")]


class Spent(NamedTuple):
    """What a piece of work took."""

    seconds: float
    core: float  # CPU seconds, of all processes


Taken = tuple[list[Spent], list[Spent]]  # by the first and by the second of two ways, pair by pair


def core_seconds() -> float:
    """CPU seconds that this process and all that it started have used, those that have ended included."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += sum(child.cpu_times()[:4])
    return total


def now() -> float:
    """The clock in seconds, read when the GPU has nothing left to do."""
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def spend(work: Callable[[], object]) -> Spent:
    """Do a piece of work, the GPU's part included."""
    core, began = core_seconds(), now()
    work()
    return Spent(now() - began, core_seconds() - core)


def time_in_turn(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[Spent]]:
    """Time every way, one after the other, `rounds` times."""
    times: dict[str, list[Spent]] = {name: [] for name in ways}
    for name, way in tqdm([*ways.items()] * rounds, leave=False, disable=None):
        times[name].append(spend(way))
    return times


def time_pairs(first: Callable[[], object], second: Callable[[], object], pairs: int, warm: bool = True) -> Taken:
    """Time two ways in turn, `pairs` times each; `warm` runs each once before, which does not count."""
    if warm:
        first(), second()
    times = time_in_turn({"first": first, "second": second}, pairs)
    return times["first"], times["second"]


def over(first: Sequence[float], second: Sequence[float]) -> str:
    """The median of the ratios of some values to others, pair by pair, with the smallest and the largest."""
    ratios = sorted(one / other for one, other in zip(first, second, strict=True))
    pairs = f"{len(ratios)} pair{'s' * (len(ratios) > 1)}"
    return f"{median(ratios):.2f}× ({ratios[0]:.2f} to {ratios[-1]:.2f}, {pairs})"  # noqa: RUF001


def print_machine(device: str | None, precision: str = "float32") -> None:
    """Print a line about machine, device, torch and precision; a GPU becomes the one that this process uses."""
    import torch

    from fig.runtime.cluster import name_device

    name, threads = name_device(0), torch.get_num_threads()
    cores = f"{len(os.sched_getaffinity(0))} cores of {name}, torch {torch.__version__} on {threads}"
    if device and device.startswith("cuda"):
        torch.cuda.set_device(torch.device(device).index or 0)
        device += f" ({name_device(1)})"
    print(f"{cores}, device: {device or 'none is used'}, precision: {precision}\n", flush=True)


def print_cells(*cells: str) -> None:
    """Print a row of a Markdown table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]] = ()) -> None:
    """Print a Markdown table, or its head alone."""
    for cells in (head, ["---"] * len(head), *rows):
        print_cells(*cells)


def print_head(first: str, second: str, remark: str = "remark") -> None:
    """Print the head of a table of comparisons of two ways."""
    print_table(["what", f"seconds, {first} / {second}", "CPU seconds", first, second, remark])


def print_row(what: str, first: Sequence[Spent], second: Sequence[Spent], remark: str = "") -> None:
    """Print a comparison: the ratios of seconds and of CPU seconds, and the median seconds of both ways."""
    (seconds, cores), (others, other_cores) = zip(*first, strict=True), zip(*second, strict=True)
    medians = (f"{median(each):.3g} s" for each in (seconds, others))
    print_cells(what, over(seconds, others), over(cores, other_cores), *medians, remark)
