"""Large studies: what its commands do grows with the jobs of a study, and no faster. It is counted, not timed."""

import cProfile
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from support.workspace import ROOT

pytestmark = [pytest.mark.slow]
LINEAR = 2.2  # times as much for twice as many
opened: list[str] = []  # by this process, as long as it lives: an audit hook stays


@dataclass(frozen=True)
class Work:
    """What a piece of work took: files that it opened, functions that it called, and lines of `fig` that it ran."""

    files: int
    calls: int
    lines: int


def count_work(work: Callable[[], object]) -> Work:
    """Do a piece of work twice, and count."""
    opened.clear()
    profile = cProfile.Profile()
    profile.runcall(work)
    files, calls = len(opened), sum(each.callcount for each in profile.getstats())
    return Work(files, calls, count_lines(work))


def count_lines(work: Callable[[], object]) -> int:
    """Count the lines of `fig` that a piece of work runs, a loop's within one line as often as it comes round."""
    lines = 0

    def trace(frame, event, _):
        nonlocal lines
        if not frame.f_code.co_filename.startswith(str(ROOT / "fig")):
            return None
        lines += event == "line"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return lines
