"""What the stages share that look at a trained discriminator: it is opened on a worker, and the work is timed."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fig import parallel
from fig.discriminator import Card, Discriminator, load, load_card
from fig.runtime.cluster import Resources, run_on_workers
from fig.runtime.timing import Timing
from fig.settings import settings_of
from fig.stages.options import parsed


def opened(folder: Path) -> tuple[Discriminator, Card]:
    """The discriminator in a folder, on this worker's device, and its card."""
    return load(folder).to(parallel.device()), load_card(folder)


def called(work: Callable[[Any], Any], job: Any, resources: str, clock: Timing) -> tuple[Any, Timing]:
    """What `work(job)` gives on the first of the workers, and the clock with the time that it took.

    `resources` is the JSON of an option.
    """
    began = time.monotonic()
    value, seconds = run_on_workers(work, job, settings_of(Resources, parsed(resources, "--resources"), "resources"))
    return value, replace(clock, ray=time.monotonic() - began - seconds, work=seconds)
