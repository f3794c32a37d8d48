"""What the jobs of a study cost, from what they have to do and how fast earlier jobs were; torch is not imported.

The unit of work is an image of 32 x 32 pixels that a ResNet18 of full width is trained on once.
"""

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from fig.configuration import STANDARD, Config, Discriminator, method_of, settings_of_variant
from fig.methods.table import FINETUNING

SIDE = 32  # pixels
NETWORKS = {  # seconds of a training step on as many images on one core, relative to a ResNet18's
    "resnet18": 1.0,
    "vgg19": 0.8,
    "shufflenetv2": 0.2,
    "densenet100": 1.0,
}
METHODS = {"adversarial": 3.1, "jcl": 2.5}  # time of an iteration relative to standard training's: docs/performance.md
BESIDE = {"jcl": 1.8}  # units for an image through what is trained beside the discriminator, whatever its width: a GAN
STEPS = 18  # of a chain on average, as fine-tuning on CIFAR10 took: docs/performance.md
DETECTORS = {  # forward passes over an image, the backward ones counted as two
    "odin": 230,
    "mahalanobis": 60,
    "residual_flow": 20,
    "gram": 5,
}
FORWARD = 1 / 3  # of an image's training
TRAINING_IMAGES = 50_000  # where the data is not prepared yet
TEST_IMAGES = 10_000
UNPREPARED = f"Data not prepared yet counts as {TRAINING_IMAGES:,} training and {TEST_IMAGES:,} test images a set."
WEIGHTS_MB = {"resnet18": 45, "vgg19": 80, "shufflenetv2": 6, "densenet100": 4}  # at full width


@dataclass(frozen=True)
class Rate:
    """Units of work that a worker does in a second, and how that is known."""

    units: float
    source: str


ASSUMED = {
    "cpu": Rate(25, "assumed: a quarter of what a core of an AMD EPYC did at an eighth of the width"),
    "gpu": Rate(2500, "assumed: a hundred cores' worth; no GPU was at hand"),
}


def size_of(config: Config, id_dataset: str) -> int:
    """Pixels a side of the images of an ID data set."""
    return config["datasets"][id_dataset]["size"]


@cache
def count_in(description: Path, changed: int) -> int:
    """How many images a split's description counts; megabytes of labels are read once, while it is unchanged."""
    return json.loads(description.read_text())["count"]


def images_in(split: Path, otherwise: int) -> int:
    """How many images a prepared split holds, or `otherwise` where there is none."""
    description = split.with_suffix(".json")
    return count_in(description, description.stat().st_mtime_ns) if description.exists() else otherwise


def per_image(network: str, width: float, size: int) -> float:
    """Work of one image, at a width and size; arithmetic falls with the width's square, but time nearly with it."""
    return NETWORKS.get(network, 1.0) * width * (size / SIDE) ** 2


def passes(method: str, settings: Mapping[str, Any]) -> float:
    """How much more work an image of a batch is than in standard training, generated images included."""
    share = settings.get("K", 0)
    drawing = share * STEPS * 2 * FORWARD if "sampler" in settings else 0
    return METHODS.get(method, 1.0) + share + drawing


def per_trained_image(network: str, width: float, size: int, method: str, settings: Mapping[str, Any]) -> float:
    """Work of one image of a batch under a method with these settings."""
    own = per_image(network, width, size) * passes(method, settings)
    return own + BESIDE.get(method, 0) * (size / SIDE) ** 2


def trained_on(training: Mapping[str, Any], images: int) -> int:
    """Images that pass through a training, of a training set of this many."""
    return training.get("iterations", 0) * training["batch_size"] + training.get("epochs", 0) * images


def training_work(config: Config, found: Discriminator) -> float:
    """Units of work of a discriminator's training."""
    size = size_of(config, found.id_dataset)
    stated = settings_of_variant(config, found.variant, found.id_dataset)
    images = images_in(Path(f"data/{size}/{found.id_dataset}/train"), TRAINING_IMAGES)
    width = config["networks"][found.network].get("width", 1.0)
    each = per_trained_image(found.network, width, size, stated["method"], stated["settings"])
    return trained_on(stated["training"], images) * each


def evaluation_work(config: Config, found: Discriminator) -> float:
    """Units of work of a discriminator's evaluation."""
    size = size_of(config, found.id_dataset)
    folder, limits = Path(f"data/{size}"), config["evaluation"]
    counts = [images_in(folder / found.id_dataset / "test", TEST_IMAGES)]
    counts += [images_in(folder / name / "test", TEST_IMAGES) for name in found.ood_datasets]
    tested = sum(min(count, limits["images"] or count) for count in counts)
    kinds = [config["detectors"][name].get("detector", name) for name in found.detectors]
    width = config["networks"][found.network].get("width", 1.0)
    return (
        tested * FORWARD * (1 + sum(DETECTORS.get(kind, 0) for kind in kinds)) * per_image(found.network, width, size)
    )


def stage_of(config: Config, variant: str, network: str) -> str:
    """The rule that makes a variant of a network."""
    if variant == STANDARD:
        return "adopt" if "checkpoint" in config["networks"][network] else "pretrain"
    if method_of(config, variant) not in FINETUNING:
        return "retrain"
    return "transfer" if "teacher" in config["variants"][variant] else "finetune"


def method_told(variant: str, timing: Mapping[str, Any]) -> str:
    """The method of a training, from the command that is in its timing file; empty where that does not say."""
    stated = timing.get("made_of", {}).get("options", {}).get("--settings", ["{}"])[0]
    return STANDARD if variant == STANDARD else json.loads(stated).get("method", "")


def resources_told(timing: Mapping[str, Any]) -> dict[str, Any]:
    """The workers of a job and what each had, from the command that is in its timing file."""
    return json.loads(dict(pairwise(shlex.split(timing.get("command", "")))).get("--resources", "{}"))


def measured(folders: Iterable[Path], device: str) -> Rate | None:
    """The rate of a worker on this device (cpu, gpu) in the trainings in these folders, whatever their study.

    Trainings count that say which method they were by; None where there is none.
    """
    rates = []
    for folder in folders:
        card, times = folder / "discriminator.json", folder / "timing.training.json"
        if not (card.exists() and times.exists()):
            continue
        told, timing = json.loads(card.read_text()), json.loads(times.read_text())
        method, had = method_told(told["variant"], timing), resources_told(timing)
        if ("gpu" if had.get("gpus_per_worker") else "cpu") != device:
            continue
        if timing["work"] > 0 and method and (settings := told["settings"]):
            made = told["architecture"]
            split = Path(f"data/{made['size']}/{told['id_dataset']}/train")
            each = per_trained_image(made["network"], made["width"], made["size"], method, settings["method"])
            if work := trained_on(settings["training"], images_in(split, 0)) * each:  # none where the split is not here
                rates.append(work / timing["work"] / max(1, had.get("workers", 1)))
    if not rates:
        return None
    return Rate(median(rates), f"measured: the median of {len(rates)} training{'s' * (len(rates) > 1)}")
