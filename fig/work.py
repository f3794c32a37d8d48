"""The work of a training, in images of 32 x 32 pixels, by the network that is trained on them.

Drawing a sample, or scoring an image, counts as its share of the passes of training on an image.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fig.methods.table import METHODS
from fig.networks import SMALL
from fig.networks.table import NETWORKS, UNKNOWN
from fig.settings import Json, Precision

SIDE = 32  # pixels
STEPS = 18  # of a chain on average, as fine-tuning on CIFAR10 took: docs/results/performance.md
FILTERS = 64  # of the GAN that trains next to a discriminator, to which `cost_beside` refers
FORWARD = 1 / 3  # of an image's training, as convolutions go: forward, then back by images and by weights


class Load(NamedTuple):
    """A kind of work for a device: training a network of a width, in a precision."""

    network: str
    width: float
    precision: Precision


Work = Mapping[Load, float]  # images, by what is trained on them


def area_of(network: str, size: int) -> float:
    """Return the area that a network processes of images `size` pixels a side, after its stride, over 32 x 32."""
    stride = NETWORKS.get(network, UNKNOWN).stride if size >= SMALL else 1
    return (size / SIDE / stride) ** 2


def steps_of(sampler: Mapping[str, Json]) -> float:
    """Return the average number of steps of a sampler's chain."""
    return float(min(max(STEPS, sampler["min_steps"]), sampler["max_steps"]))


def add_work(*parts: tuple[Load, float]) -> Work:
    """Add up several parts of work."""
    total: dict[Load, float] = {}
    for load, images in parts:
        total[load] = total.get(load, 0.0) + images
    return total


def work_of_training(
    load: Load, size: int, method: str, settings: Mapping[str, Json], images: int, teacher: Load | None = None
) -> Work:
    """Return the work of training a method with these settings on this many images, including low-entropy samples.

    The samples come from the network in training, or from a teacher.
    """
    row, share, sampler = METHODS[method], settings.get("K", 0), settings.get("sampler")
    cost = row.cost + share + row.cost_of_step * settings.get("steps", 0)
    parts = [(load, images * cost * area_of(load.network, size))]
    if sampler and share:
        drawn = (teacher or load)._replace(precision=sampler["precision"])
        passes = share * steps_of(sampler) * 2 * FORWARD
        parts.append((drawn, images * passes * area_of(drawn.network, size)))
    if row.cost_beside:
        companion, thin = Load("resnet18", 1.0, load.precision), settings["filters"] / FILTERS
        parts.append((companion, images * row.cost_beside * thin**2 * (size / SIDE) ** 2))
    return add_work(*parts)


def trained_on(training: Mapping[str, Json], images: int) -> int:
    """Return the number of images that pass through a training, for a training set of this size."""
    return int(training["iterations"] * training["batch_size"] + training["epochs"] * images)


@cache
def count_in(description: Path, changed: int) -> int:
    """Return the count in a split's description; while it is unchanged, its megabytes of labels are read only once."""
    return int(json.loads(description.read_text())["count"])


def images_in(split: Path, otherwise: int) -> int:
    """Return the number of images in a prepared split, or `otherwise` if the split does not exist."""
    description = split.with_suffix(".json")
    return count_in(description, description.stat().st_mtime_ns) if description.exists() else otherwise
