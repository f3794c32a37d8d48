"""Two ways of doing the same, timed in turn in one process, so that whatever else the machine does strikes both."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from cyclopts import Parameter

Device = Annotated[str, Parameter(help="Where both compute: cpu, cuda, cuda:1.")]


@dataclass(frozen=True)
class Ratio:
    """Seconds of the reference over seconds of ours, pair by pair."""

    reference: list[float]
    ours: list[float]

    def __str__(self) -> str:
        ratios = sorted(theirs / own for theirs, own in zip(self.reference, self.ours, strict=True))
        return (
            f"{statistics.median(ratios):.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f}, {len(ratios)} pairs; "
            f"medians {statistics.median(self.reference):.3g} s and {statistics.median(self.ours):.3g} s)"
        )


def seconds(work: Callable[[], object]) -> float:
    """Seconds that a piece of work takes, the device's included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def ratio(reference: Callable[[], object], ours: Callable[[], object], pairs: int = 5, warm: bool = True) -> Ratio:
    """Time both in turn, `pairs` times each, after one run of each that does not count."""
    if warm:
        reference(), ours()
    times = [(seconds(reference), seconds(ours)) for _ in range(pairs)]
    return Ratio([first for first, _ in times], [second for _, second in times])


def seeded(device: str, seed: int = 0) -> torch.Generator:
    """A generator on a device."""
    return torch.Generator(device).manual_seed(seed)


def machine() -> str:
    """One line about the machine, for the record."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {names[0] if names else platform.processor()}, {device}, torch {torch.__version__}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows as a Markdown table."""
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |", flush=True)
