"""Hold a process at a named point: Python imports this at its start where the folder is on PYTHONPATH.

FIG_BARRIER names a folder. The file `point` in it says where to hold, such as `3 after fig.checkpoint.save_checkpoint`:
a process that comes there makes the file `3-PID`, and goes on as soon as `point` says something else. See
`support.barriers`, which the tests use.
"""

import functools
import math
import os
import sys
import time
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

POINTS = {  # functions at which a process can be held, before and after them
    "fig.checkpoint": ("save_checkpoint", "write_state"),
    "fig.evaluation": ("evaluated",),
    "fig.sampling": ("save_drawing",),
}
EAGER = {  # what there is to be saved is saved at once, whatever it costs: no clock decides
    "fig.commands.sample": {"SECONDS_BETWEEN": 0.0},
    "fig.stages.support.trainer": {"SECONDS_BETWEEN": 0.0, "SHARE_OF_SAVING": math.inf},
}


def hold(barrier: Path, place: str) -> None:
    """Wait for as long as the barrier is at this place."""
    point = barrier / "point"
    held = point.read_text()
    serial, _, wanted = held.partition(" ")
    if wanted != place:
        return
    (barrier / f"{serial}-{os.getpid()}").touch()
    while point.read_text() == held:
        time.sleep(0.02)


def with_barrier(barrier: Path, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with a point before and one after it."""

    @functools.wraps(function)
    def held(*arguments: Any, **named: Any) -> Any:
        hold(barrier, f"before {name}")
        value = function(*arguments, **named)
        hold(barrier, f"after {name}")
        return value

    return held


class Finder(MetaPathFinder):
    """Finds the modules that have points, and puts barriers there when they are imported."""

    def __init__(self, barrier: Path) -> None:
        self.barrier = barrier

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname not in (*POINTS, *EAGER):
            return None
        spec = PathFinder.find_spec(fullname, path)
        assert spec and spec.loader
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for name in POINTS.get(fullname, ()):
                setattr(module, name, with_barrier(self.barrier, f"{fullname}.{name}", getattr(module, name)))
            for name, value in EAGER.get(fullname, {}).items():
                setattr(module, name, value)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if "FIG_BARRIER" in os.environ:
    sys.meta_path.insert(0, Finder(Path(os.environ["FIG_BARRIER"])))
