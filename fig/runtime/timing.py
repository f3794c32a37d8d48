"""Where the seconds of a job go, and what it was made of: the file that each job leaves beside its outputs."""

import json
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import psutil

from fig.files import replacing
from fig.runtime.origin import Origin, origin
from fig.runtime.provenance import command_line


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
    command: str = ""
    made_of: Origin = field(default_factory=dict)


def begin(stage: str, *also: Path) -> Timing:
    """Timing of the stage that this process now enters; `also` are files that are code to it."""
    started = psutil.Process().create_time()
    startup = time.time() - started
    return Timing(stage, started, startup, command=command_line(), made_of=origin(stage, sys.argv[1:], *also))


def write(timing: Timing, path: Path) -> None:
    """Write the finished timing as JSON, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(asdict(replace(timing, ended=time.time()))) + "\n")
