"""What the jobs of a study cost and ask for, from what they have to do and how fast earlier jobs were.

The unit of work is an image of 32 x 32 pixels that a ResNet18 of full width is trained on once. Resources are generous,
and more in each attempt; they rerun nothing. A site overrides any of them by rule: see docs/cluster.md.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from math import ceil
from pathlib import Path
from statistics import median
from typing import Protocol

from fig.data.catalogue import size_of
from fig.detectors.table import detector_row
from fig.methods.table import METHODS
from fig.networks.table import NETWORKS, UNKNOWN
from fig.runtime.job import words_of
from fig.runtime.record import read_record
from fig.settings import Json, Resources
from fig.study.config import Config
from fig.study.discriminators import Discriminator, list_discriminators, list_teachers, resolve_recipe, rule_of

SIDE = 32  # pixels
STEPS = 18  # of a chain on average, as fine-tuning on CIFAR10 took: docs/results/performance.md
FORWARD = 1 / 3  # of an image's training
TRAINING_IMAGES = 50_000  # where the data is not prepared yet
TEST_IMAGES = 10_000
UNPREPARED = f"Data not prepared yet counts as {TRAINING_IMAGES:,} training and {TEST_IMAGES:,} test images a set."
MARGIN = 4  # by which a job may be slower than estimated
STARTING = 30  # minutes for imports, Ray and a slow file system
LONGEST = 1440  # minutes: a training that needs more resumes from its checkpoint in its next attempt
MB_OF_A_WORKER = 8000  # Python, torch, Ray, and CUDA's libraries
MB_OF_AN_IMAGE = 40  # of 32 x 32 pixels in a batch: what a network keeps of it, on a worker without GPU


class Wildcards(Protocol):
    """The wildcards of a job of Snakemake's."""

    id_dataset: str
    network: str

    def get(self, name: str, default: str) -> str:
        """The value of a wildcard, or a default where the rule has none of this name."""


Amount = int | float | str | Callable[[Wildcards, int], int]  # a number, or what gives it for a job and an attempt
Asked = dict[str, Amount]  # what a rule's jobs ask for, as Snakemake's resources


@dataclass(frozen=True)
class Rate:
    """Units of work that a worker does in a second, and how that is known."""

    units: float
    source: str


ASSUMED = {
    "cpu": Rate(25, "assumed: a quarter of what a core of an AMD EPYC did at an eighth of the width"),
    "gpu": Rate(2500, "assumed: a hundred cores' worth; no GPU was at hand"),
}


@cache
def count_in(description: Path, changed: int) -> int:
    """How many images a split's description counts; megabytes of labels are read once, while it is unchanged."""
    return int(json.loads(description.read_text())["count"])


def images_in(split: Path, otherwise: int) -> int:
    """How many images a prepared split holds, or `otherwise` where there is none."""
    description = split.with_suffix(".json")
    return count_in(description, description.stat().st_mtime_ns) if description.exists() else otherwise


def work_per_image(network: str, width: float, size: int) -> float:
    """Work of one image at a width and size; arithmetic falls with the width's square, but time nearly with it."""
    return NETWORKS.get(network, UNKNOWN).cost * width * (size / SIDE) ** 2


def passes(method: str, settings: Mapping[str, Json]) -> float:
    """How much more work an image of a batch is than in standard training, low-entropy samples included."""
    share: float = settings.get("K", 0)
    drawing = share * STEPS * 2 * FORWARD if "sampler" in settings else 0
    return METHODS[method].cost + share + drawing


def work_per_trained_image(network: str, width: float, size: int, method: str, settings: Mapping[str, Json]) -> float:
    """Work of one image of a batch under a method with these settings."""
    own = work_per_image(network, width, size) * passes(method, settings)
    return own + METHODS[method].cost_beside * (size / SIDE) ** 2


def trained_on(training: Mapping[str, Json], images: int) -> int:
    """Images that pass through a training, of a training set of this many."""
    return int(training["iterations"] * training["batch_size"] + training["epochs"] * images)


def training_work(config: Config, found: Discriminator) -> float:
    """Units of work of a discriminator's training."""
    size = size_of(config.datasets, found.id_dataset)
    recipe = resolve_recipe(config, found.variant, found.id_dataset)
    images = images_in(Path(f"data/{size}/{found.id_dataset}/train"), TRAINING_IMAGES)
    width = config.networks[found.network].width
    each = work_per_trained_image(found.network, width, size, recipe.method, vars(recipe.settings))
    return trained_on(vars(recipe.training), images) * each


def evaluation_work(config: Config, found: Discriminator) -> float:
    """Units of work of a discriminator's evaluation."""
    size = size_of(config.datasets, found.id_dataset)
    folder, limit = Path(f"data/{size}"), config.evaluation.images
    counts = [images_in(folder / name / "test", TEST_IMAGES) for name in (found.id_dataset, *found.ood_datasets)]
    tested = sum(min(count, limit or count) for count in counts)
    each = 1 + sum(detector_row(name, config.detectors[name]).passes for name in found.detectors)
    return tested * FORWARD * each * work_per_image(found.network, config.networks[found.network].width, size)


def device_of(config: Config) -> str:
    """What trainings run on: gpu or cpu."""
    return "gpu" if config.resources.training.gpus_per_worker else "cpu"


def measured(folders: Iterable[Path], device: str) -> Rate | None:
    """The rate of a worker on this device (cpu, gpu) in the trainings in these folders, whatever their study.

    None where there is no training that left a record.
    """
    rates = [rate for folder in folders if (rate := measured_in(folder, device))]
    if not rates:
        return None
    return Rate(median(rates), f"measured: the median of {len(rates)} training{'s' * (len(rates) > 1)}")


def measured_in(folder: Path, device: str) -> float | None:
    """Units of work that a worker did in a second in the training in a folder, by its card and its record."""
    record, card = read_record(folder / "training.record.json"), folder / "discriminator.json"
    if record is None or not card.exists() or record.times.work <= 0:
        return None
    made, had = json.loads(card.read_text()), record.runtime.get("resources", {})
    settings, architecture = made["settings"], made["architecture"]
    if ("gpu" if had.get("gpus_per_worker") else "cpu") != device or "training" not in settings:
        return None
    names = architecture["network"], architecture["width"], architecture["size"]
    each = work_per_trained_image(*names, record.origin.settings["method"], settings["method"])
    images = images_in(Path(f"data/{architecture['size']}/{made['id_dataset']}/train"), 0)
    work = trained_on(settings["training"], images) * each  # none where the split is not here
    return work / record.times.work / max(1, had.get("workers", 1)) or None


@dataclass(frozen=True)
class PlannedRule:
    """What a rule's jobs cost: how many there are and were done, hours that are left, and gigabytes of weights."""

    jobs: int = 0
    done: int = 0
    hours: float = 0.0
    gigabytes: float = 0.0

    def plus(self, other: "PlannedRule") -> "PlannedRule":
        """The sum of two."""
        return PlannedRule(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


def plan_study(config: Config, run: Path, rate: Rate) -> dict[str, PlannedRule]:
    """What each rule costs that makes or evaluates discriminators, at a rate; `run` is the folder of all of them."""
    found: dict[str, PlannedRule] = {}

    def add(rule: str, done: bool, work: float, gigabytes: float) -> None:
        left = 0.0 if done else work / rate.units / 3600
        found[rule] = found.get(rule, PlannedRule()).plus(PlannedRule(1, done, left, gigabytes))

    for each in (*list_discriminators(config), *list_teachers(config)):
        rule = rule_of(config, each.variant, each.network)
        work = 0.0 if rule == "adopt" else training_work(config, each)
        width = config.networks[each.network].width
        weights = NETWORKS.get(each.network, UNKNOWN).megabytes * width**2 / 1000
        add(rule, (run / each.path / "discriminator.json").exists(), work, weights)
        if each.detectors:
            add("evaluate", (run / each.path / "metrics.csv").exists(), evaluation_work(config, each), 0.001)
    return found


def workers_of(resources: Resources) -> int:
    """Processes that work: at least the job's own."""
    return max(1, resources.workers)


def cpus_of(resources: Resources) -> int:
    """Cores of a job."""
    return workers_of(resources) * resources.cpus_per_worker


def gpus_of_node(resources: Resources) -> int:
    """Whole GPUs of a node, as clusters give them; Ray divides them among the node's workers."""
    return ceil(workers_of(resources) / resources.nodes * resources.gpus_per_worker)


def gpus_of(resources: Resources) -> int:
    """Whole GPUs of a job."""
    return resources.nodes * gpus_of_node(resources)


def ask_nodes(resources: Resources) -> Asked:
    """What Slurm is asked for where workers are on several nodes: one task and an even share on each."""
    nodes, gpus = resources.nodes, gpus_of_node(resources)
    if nodes == 1:
        return {}
    asked: Asked = {
        "nodes": nodes,
        "tasks": nodes,
        "cpus_per_task": cpus_of(resources) // nodes,
        "mpi": "srun",  # the stage itself starts a step on all nodes: it is not to be within one of Snakemake's
    }
    if gpus:  # of 4 on 2 nodes Slurm would else give 3 and 1
        asked |= {"tasks_per_gpu": 0, "slurm_extra": f"--gpus-per-node={gpus}"}
    return asked


def estimate_minutes(resources: Resources, work: float, attempt: int) -> int:
    """Minutes for some work."""
    rate = ASSUMED["gpu" if gpus_of(resources) else "cpu"].units * workers_of(resources)
    return min(LONGEST, ceil(attempt * (STARTING + MARGIN * work / rate / 60)))


def estimate_megabytes(resources: Resources, batch: float, attempt: int) -> int:
    """Memory of a node for the workers, and for their batch where they have no GPU; a GPU's own is not counted."""
    own = MB_OF_A_WORKER * workers_of(resources)
    whole = own + (0 if gpus_of(resources) else MB_OF_AN_IMAGE * batch)
    return attempt * ceil(whole / resources.nodes)


def kept_per_image(config: Config, id_dataset: str, network: str) -> float:
    """What a network keeps of an image, relative to a full one of 32 x 32 pixels."""
    return config.networks[network].width * (size_of(config.datasets, id_dataset) / SIDE) ** 2


def ask(resources: Resources, work_and_batch: Callable[[Wildcards], tuple[float, float]]) -> Asked:
    """What a rule's jobs ask for whose work and batch follow from their wildcards, and the options of their workers."""

    def runtime(wildcards: Wildcards, attempt: int) -> int:
        return estimate_minutes(resources, work_and_batch(wildcards)[0], attempt)

    def mem_mb(wildcards: Wildcards, attempt: int) -> int:
        return estimate_megabytes(resources, work_and_batch(wildcards)[1], attempt)

    gpu, workers = gpus_of(resources), " ".join(words_of("--resources", resources, Resources()))
    return {**ask_nodes(resources), "gpu": gpu, "mem_mb": mem_mb, "runtime": runtime, "workers": workers}


def ask_training(config: Config) -> Asked:
    """What a training asks for."""

    @cache
    def estimate(id_dataset: str, network: str, variant: str) -> tuple[float, float]:
        training = resolve_recipe(config, variant, id_dataset).training
        batch = training.batch_size * kept_per_image(config, id_dataset, network)
        return training_work(config, Discriminator(id_dataset, network, variant, 0)), batch

    return ask(config.resources.training, lambda wildcards: estimate(*names_of(wildcards)))


def order_longest_first(config: Config) -> Callable[[Wildcards], float]:
    """Priority of a training: the study ends with its longest, so these begin first, and evaluations wait."""

    @cache
    def work(id_dataset: str, network: str, variant: str) -> float:
        return training_work(config, Discriminator(id_dataset, network, variant, 0))

    return lambda wildcards: work(*names_of(wildcards))


def names_of(wildcards: Wildcards) -> tuple[str, str, str]:
    """ID data set, network and variant of a training, from its wildcards."""
    return wildcards.id_dataset, wildcards.network, wildcards.get("variant", "standard")


def ask_evaluation(config: Config) -> Asked:
    """What an evaluation asks for: as much as the run's largest, for an array of jobs has one set of resources."""
    alike = {replace(found, variant="", seed=0) for found in list_discriminators(config)}
    work = max(evaluation_work(config, found) for found in alike)
    largest = max(kept_per_image(config, found.id_dataset, found.network) for found in alike)
    batch = largest * config.evaluation.batch
    return ask(config.resources.evaluation, lambda wildcards: (work, batch))


def ask_drawing(config: Config, samples: int, steps: int, batch: int) -> Asked:
    """What a job asks for that draws so many low-entropy samples of so many steps each."""

    def estimate(wildcards: Wildcards) -> tuple[float, float]:
        each = kept_per_image(config, wildcards.id_dataset, wildcards.network)
        return samples * steps * 2 * FORWARD * each, batch * each  # forward and back

    return ask(config.resources.evaluation, estimate)


def ask_throughput(config: Config) -> Asked:
    """What timing the sampler asks for."""
    chosen = config.throughput
    return ask_drawing(config, chosen.images + chosen.batch, STEPS, chosen.batch)


def ask_embedding(config: Config) -> Asked:
    """What an embedding asks for."""
    return ask_drawing(config, config.embedding.samples, STEPS, config.embedding.batch)


def ask_chains(config: Config) -> Asked:
    """What long chains ask for."""
    return ask_drawing(config, config.chains.chains, config.chains.steps, config.chains.chains)


def ask_preparation(config: Config) -> Asked:
    """What a preparation asks for, each of whose processes decodes whole photographs."""
    processes = cpus_of(config.resources.preparation)
    return {
        "mem_mb": lambda wildcards, attempt: attempt * (2000 + 1000 * processes),
        "runtime": lambda wildcards, attempt: 240 * attempt,
    }


def ask_little() -> Asked:
    """What a table, a figure or a page asks for."""
    return {"mem_mb": lambda wildcards, attempt: 4000 * attempt, "runtime": lambda wildcards, attempt: 60 * attempt}
