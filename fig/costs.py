"""What the jobs of a study cost and ask for: the images that they are busy with, at the rates of fig/rates.py.

Resources are generous, and more in each attempt; they rerun nothing. A site overrides any of them by rule: see
docs/cluster.md.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from math import ceil
from pathlib import Path
from typing import Protocol

from fig.data.catalogue import size_of
from fig.detectors.table import detector_row
from fig.networks.table import NETWORKS, UNKNOWN
from fig.rates import Device, kind_of, slowest_device
from fig.runtime.job import words_of
from fig.settings import Resources
from fig.study.config import Config
from fig.study.discriminators import (
    Discriminator,
    list_discriminators,
    list_parents,
    resolve_recipe,
    rule_of,
    split_teacher,
)
from fig.work import FORWARD, STEPS, Load, Work, area_of, images_in, trained_on, work_of_training

TRAINING_IMAGES = 50_000  # CIFAR10's, where the data is not prepared yet
TEST_IMAGES = 10_000  # CIFAR10's
UNPREPARED = f"Data not prepared yet counts as {TRAINING_IMAGES:,} training and {TEST_IMAGES:,} test images a set."
MARGIN = 4  # by which a job may be slower than estimated before it is ended: other work on its node, a rate too high
STARTING = 30  # minutes for imports, Ray and a slow file system; half of one on an idle machine (docs/results)
LONGEST = 1440  # minutes, a day: a training that needs more resumes from its checkpoint in its next attempt
MB_OF_A_WORKER = 8000  # ten times a training's 846 MB (docs/results/performance.md), for CUDA's libraries are not in it
MB_OF_AN_IMAGE = 40  # on a worker without GPU, of 32 x 32 pixels: DenseNet100 keeps 35 for its backward pass


class Wildcards(Protocol):
    """The wildcards of a job of Snakemake's."""

    id_dataset: str
    network: str

    def get(self, name: str, default: str) -> str:
        """The value of a wildcard, or a default where the rule has none of this name."""


Amount = int | float | str | Callable[[Wildcards, int], int]  # a number, or what gives it for a job and an attempt
Asked = dict[str, Amount]  # what a rule's jobs ask for, as Snakemake's resources


def training_work(config: Config, found: Discriminator) -> Work:
    """Work of a discriminator's training."""
    size = size_of(config.datasets, found.id_dataset)
    recipe = resolve_recipe(config, found.variant, found.id_dataset)
    images = images_in(Path(f"data/{size}/{found.id_dataset}/train"), TRAINING_IMAGES)
    load = Load(found.network, config.networks[found.network].width, recipe.training.precision)
    variant, teacher = config.variants.get(found.variant), None
    if variant and variant.teacher:
        network = split_teacher(variant)[0]
        teacher = load._replace(network=network, width=config.networks[network].width)
    trained = trained_on(vars(recipe.training), images)
    return work_of_training(load, size, recipe.method, asdict(recipe.settings), trained, teacher)


def evaluation_work(config: Config, found: Discriminator) -> Work:
    """Work of a discriminator's evaluation, which is in float32."""
    size = size_of(config.datasets, found.id_dataset)
    folder, limit = Path(f"data/{size}"), config.evaluation.images
    counts = [images_in(folder / name / "test", TEST_IMAGES) for name in (found.id_dataset, *found.ood_datasets)]
    tested = sum(min(count, limit or count) for count in counts)
    each = 1 + sum(detector_row(name, config.detectors[name]).passes for name in found.detectors)
    load = Load(found.network, config.networks[found.network].width, "float32")
    return {load: tested * FORWARD * each * area_of(found.network, size)}


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


def plan_study(config: Config, run: Path, device: Device) -> dict[str, PlannedRule]:
    """What each rule costs that makes or evaluates discriminators, on a device; `run` is the folder of all of them."""
    found: dict[str, PlannedRule] = {}

    def add(rule: str, done: bool, work: Work, gigabytes: float) -> None:
        left = 0.0 if done else device.seconds(work) / 3600
        found[rule] = found.get(rule, PlannedRule()).plus(PlannedRule(1, done, left, gigabytes))

    for each in (*list_discriminators(config), *list_parents(config)):
        rule = rule_of(config, each.variant, each.network)
        work = {} if rule == "adopt" else training_work(config, each)
        width = config.networks[each.network].width
        weights = NETWORKS.get(each.network, UNKNOWN).megabytes * width**2 / 1000
        add(rule, (run / each.path / "discriminator.json").exists(), work, weights)
        if each.detectors:
            add("evaluate", (run / each.path / "metrics.csv").exists(), evaluation_work(config, each), 0.001)
    return found


def list_loads(config: Config) -> list[Load]:
    """What a study's trainings and evaluations keep devices busy with, each once."""
    trained = (training_work(config, found) for found in (*list_discriminators(config), *list_parents(config)))
    evaluated = (evaluation_work(config, found) for found in list_discriminators(config))
    return sorted({load for work in (*trained, *evaluated) for load in work})


def state_workers(resources: Resources) -> str:
    """Return the options of a job's command line that say its workers."""
    return " ".join(words_of("--resources", resources, Resources()))


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


def seconds_on(resources: Resources, work: Work) -> float:
    """Seconds of workers with these resources: of the slowest device, for which one they get is not known."""
    kind = kind_of(resources)
    return Device(kind, slowest_device(kind)).seconds(work) / workers_of(resources)


def estimate_minutes(resources: Resources, work: Work, attempt: int) -> int:
    """Minutes for some work."""
    return min(LONGEST, ceil(attempt * (STARTING + MARGIN * seconds_on(resources, work) / 60)))


def estimate_megabytes(resources: Resources, batch: float, attempt: int) -> int:
    """Memory of a node for the workers, and for their batch where they have no GPU; a GPU's own is not counted."""
    own = MB_OF_A_WORKER * workers_of(resources)
    whole = own + (0 if gpus_of(resources) else MB_OF_AN_IMAGE * batch)
    return attempt * ceil(whole / resources.nodes)


def kept_per_image(config: Config, id_dataset: str, network: str) -> float:
    """What a network keeps of an image, relative to a full one of 32 x 32 pixels."""
    return config.networks[network].width * area_of(network, size_of(config.datasets, id_dataset))


def ask(resources: Resources, work_and_batch: Callable[[Wildcards], tuple[Work, float]]) -> Asked:
    """What a rule's jobs ask for whose work and batch follow from their wildcards."""

    def runtime(wildcards: Wildcards, attempt: int) -> int:
        return estimate_minutes(resources, work_and_batch(wildcards)[0], attempt)

    def mem_mb(wildcards: Wildcards, attempt: int) -> int:
        return estimate_megabytes(resources, work_and_batch(wildcards)[1], attempt)

    return {**ask_nodes(resources), "gpu": gpus_of(resources), "mem_mb": mem_mb, "runtime": runtime}


def ask_training(config: Config) -> Asked:
    """What a training asks for."""

    @cache
    def estimate(id_dataset: str, network: str, variant: str) -> tuple[Work, float]:
        training = resolve_recipe(config, variant, id_dataset).training
        batch = training.batch_size * kept_per_image(config, id_dataset, network)
        return training_work(config, Discriminator(id_dataset, network, variant, 0)), batch

    return ask(config.resources.training, lambda wildcards: estimate(*names_of(wildcards)))


def order_longest_first(config: Config) -> Callable[[Wildcards], float]:
    """Priority of a training: the study ends with its longest, so these begin first, and evaluations wait."""

    @cache
    def work(id_dataset: str, network: str, variant: str) -> float:
        return seconds_on(
            config.resources.training, training_work(config, Discriminator(id_dataset, network, variant, 0))
        )

    return lambda wildcards: work(*names_of(wildcards))


def names_of(wildcards: Wildcards) -> tuple[str, str, str]:
    """ID data set, network and variant of a training, from its wildcards."""
    return wildcards.id_dataset, wildcards.network, wildcards.get("variant", "standard")


def ask_evaluation(config: Config) -> Asked:
    """What an evaluation asks for: as much as the run's largest, for an array of jobs has one set of resources."""
    alike = {replace(found, variant="", seed=0) for found in list_discriminators(config)}
    resources = config.resources.evaluation
    work = max((evaluation_work(config, found) for found in alike), key=lambda work: seconds_on(resources, work))
    largest = max(kept_per_image(config, found.id_dataset, found.network) for found in alike)
    batch = largest * config.evaluation.batch
    return ask(resources, lambda wildcards: (work, batch))


def ask_drawing(config: Config, samples: int, steps: float, batch: int) -> Asked:
    """What a job asks for that draws so many low-entropy samples of so many steps each."""

    def estimate(wildcards: Wildcards) -> tuple[Work, float]:
        network, id_dataset = wildcards.network, wildcards.id_dataset
        load = Load(network, config.networks[network].width, config.sampler.precision)
        passes = samples * steps * 2 * FORWARD  # forward and back
        work = {load: passes * area_of(network, size_of(config.datasets, id_dataset))}
        return work, batch * kept_per_image(config, id_dataset, network)

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
