"""What tests change in the processes that they start: Python imports this where the folder is on PYTHONPATH.

A process can be held at a named point. FIG_BARRIER names a folder. The file `point` in it says where to hold, such as
`3 after fig.checkpoint.save_checkpoint`: a process that comes there makes the file `3-PID`, and goes on as soon as
`point` says something else. See `support.barriers`, which the tests use.

Where coverage is measured, Ray's workers save theirs when their work is done: Ray ends them without warning.
"""

import functools
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

POINTS = {  # functions at which a process can be held, before and after them
    "fig.checkpoint": ("load_checkpoint", "save_checkpoint", "write_state"),
    "fig.discriminator": ("save",),
    "fig.evaluation": ("fit_detectors", "score_split", "metric_rows"),
    "fig.runtime.tracking": ("try_to_mirror",),
    "fig.sampling": ("save_drawing",),
    "fig.stages.support.scoring": ("draw_samples", "write_metrics"),
    "fig.stages.support.trainer": ("is_made", "start", "write_history"),
}
EAGER = {  # what there is to be saved is saved at once, whatever it costs: no clock decides
    "fig.sampling": {"SECONDS_BETWEEN": 0.0},
    "fig.stages.support.trainer": {"SECONDS_BETWEEN": 0.0, "SHARE_OF_SAVING": math.inf},
}


def hold(barrier: Path, place: str) -> None:
    """Wait for as long as the barrier is at this place."""
    point = barrier / "point"
    held = point.read_text()
    serial, _, wanted = held.partition(" ")
    here = barrier / f"{serial}-{os.getpid()}"
    if wanted != place or here.exists():  # once is enough: an interrupt ends the waiting
        return
    here.touch()
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


def with_saved_coverage(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, after which the coverage of this process is saved."""

    @functools.wraps(function)
    def saved(*arguments: Any, **named: Any) -> Any:
        from coverage import Coverage

        try:
            return function(*arguments, **named)
        finally:
            if current := Coverage.current():
                current.save()

    return saved


def put_barriers(module: ModuleType) -> None:
    """Put the points into a module, and make it save what it has at once."""
    barrier, own = Path(os.environ["FIG_BARRIER"]), module.__name__
    for name in POINTS.get(own, ()):
        setattr(module, name, with_barrier(barrier, f"{own}.{name}", getattr(module, name)))
    for name, value in EAGER.get(own, {}).items():
        setattr(module, name, value)


def save_coverage(module: ModuleType) -> None:
    """Make workers save their coverage when their work is done."""
    module.outcome_of = with_saved_coverage(module.outcome_of)  # type: ignore[attr-defined]


class Finder(MetaPathFinder):
    """Finds some modules as Python does, and changes each when it is imported."""

    def __init__(self, changes: Mapping[str, Callable[[ModuleType], None]]) -> None:
        self.changes = changes

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname not in self.changes:
            return None
        spec = PathFinder.find_spec(fullname, path)
        assert spec and spec.loader
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self.changes[fullname](module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


changes: dict[str, Callable[[ModuleType], None]] = {}
if "FIG_BARRIER" in os.environ:
    changes |= dict.fromkeys((*POINTS, *EAGER), put_barriers)
if "COVERAGE_PROCESS_CONFIG" in os.environ:
    changes |= {"fig.runtime.cluster": save_coverage}
if changes:
    sys.meta_path.insert(0, Finder(changes))
