"""Where the seconds of a job go: its own work, Ray, tracking, and starting up."""

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from fig.files import replacing


@dataclass(frozen=True)
class Timing:
    """One job's times; `started` and `ended` are seconds since the epoch, the others durations in seconds."""

    stage: str
    started: float
    startup: float = 0.0  # from the process's start to the stage's first line: the interpreter and imports
    ray: float = 0.0
    work: float = 0.0  # the function on the workers
    tracking: float = 0.0
    ended: float = 0.0


def begin(stage: str) -> Timing:
    """Timing of the stage that this process now enters."""
    started = psutil.Process().create_time()
    return Timing(stage, started, startup=time.time() - started)


def write(timing: Timing, path: Path) -> None:
    """Write the finished timing as JSON, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(asdict(replace(timing, ended=time.time()))) + "\n")
