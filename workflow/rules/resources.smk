"""What a job asks of a cluster, derived from what it has to do: generous, and more in each attempt.

Resources rerun nothing. A site overrides any of them by rule: see docs/cluster.md.
"""

from dataclasses import replace
from math import ceil

from fig import costs
from fig.configuration import Discriminator
from fig.runtime.cluster import Resources as Share  # Snakemake's own go by that name
from fig.settings import settings_of

MARGIN = 4  # by which a job may be slower than reckoned
STARTING = 30  # minutes for imports, Ray and a slow file system
LONGEST = 1440  # minutes: a training that needs more goes on from its checkpoint in its next attempt
MB_OF_A_WORKER = 8000  # Python, torch, Ray, and CUDA's libraries
MB_OF_AN_IMAGE = 40  # of 32 x 32 pixels in a batch: what a network keeps of it, on a worker without GPU


try:
    STATED = {
        stage: settings_of(Share, stated, f"resources.{stage}")
        for stage, stated in STUDY["resources"].items()
    }
except ValueError as error:
    raise WorkflowError(f"the configuration is refused: {error}") from None


def stated_of(stage):
    return STATED.get(stage, Share())


def workers_of(stage):
    return max(1, stated_of(stage).workers)


def cpus_of(stage):
    return workers_of(stage) * stated_of(stage).cpus_per_worker


def gpus_of_node(stage):
    """Whole GPUs, as clusters give them; Ray divides them among the node's workers."""
    stated = stated_of(stage)
    return ceil(workers_of(stage) / stated.nodes * stated.gpus_per_worker)


def gpus_of(stage):
    return stated_of(stage).nodes * gpus_of_node(stage)


def spread(stage):
    """What else Slurm is asked for where a stage's workers are on several nodes: one task and an even share on each."""
    nodes, gpus = stated_of(stage).nodes, gpus_of_node(stage)
    if nodes == 1:
        return {}
    asked = {
        "nodes": nodes,
        "tasks": nodes,
        "cpus_per_task": cpus_of(stage) // nodes,
        "mpi": "srun",  # the stage itself starts a step on all nodes: it is not to be within one of Snakemake's
    }
    if gpus:  # of 4 on 2 nodes Slurm would else give 3 and 1
        asked |= {"tasks_per_gpu": 0, "slurm_extra": f"--gpus-per-node={gpus}"}
    return asked


def minutes(stage, work, attempt):
    """Minutes for a stage's work, in the units of fig.costs."""
    rate = costs.ASSUMED["gpu" if gpus_of(stage) else "cpu"].units * workers_of(stage)
    return min(LONGEST, ceil(attempt * (STARTING + MARGIN * work / rate / 60)))


def megabytes(stage, batch, attempt):
    """Memory of a node for a stage's workers, and for its batch where they have no GPU; a GPU's own is not counted."""
    own = MB_OF_A_WORKER * workers_of(stage)
    whole = own + (0 if gpus_of(stage) else MB_OF_AN_IMAGE * batch)
    return attempt * ceil(whole / stated_of(stage).nodes)


def per_image(id_dataset, network):
    """What a network keeps of an image, relative to a full one of 32 x 32 pixels."""
    width = STUDY["networks"][network].get("width", 1)
    return width * (size_of(id_dataset) / costs.SIDE) ** 2


@cache
def training_of(id_dataset, network, variant):
    """Work of a training, and the size of its batch."""
    found = Discriminator(id_dataset, network, variant, 0, (), ())
    training = settings_of_variant(STUDY, variant, id_dataset)["training"]
    batch = training["batch_size"] * per_image(id_dataset, network)
    return costs.training_work(STUDY, found), batch


@cache
def largest_evaluation():
    """Work and size of a batch of the run's largest: an array of jobs has one set of resources."""
    alike = {replace(d, variant="", seed=0) for d in DISCRIMINATORS.values()}
    work = max(costs.evaluation_work(STUDY, found) for found in alike)
    largest = max(per_image(found.id_dataset, found.network) for found in alike)
    return work, largest * STUDY["evaluation"]["batch"]


def names_of(wildcards):
    variant = wildcards.get("variant", "standard")
    return wildcards.id_dataset, wildcards.network, variant


def longest_first(wildcards):
    """Priority of a training: the study ends with its longest, so these begin first, and evaluations wait."""
    work, _ = training_of(*names_of(wildcards))
    return work


def training_minutes(wildcards, attempt):
    work, _ = training_of(*names_of(wildcards))
    return minutes("training", work, attempt)


def training_mb(wildcards, attempt):
    _, batch = training_of(*names_of(wildcards))
    return megabytes("training", batch, attempt)


def evaluation_minutes(wildcards, attempt):
    work, _ = largest_evaluation()
    return minutes("evaluation", work, attempt)


def evaluation_mb(wildcards, attempt):
    _, batch = largest_evaluation()
    return megabytes("evaluation", batch, attempt)


def drawing(images, steps, batch):
    """What a job asks that draws so many images, of so many steps each: its minutes and megabytes."""

    def of_minutes(wildcards, attempt):
        each = per_image(wildcards.id_dataset, wildcards.network)
        passes = 2 * costs.FORWARD  # forward and back
        work = images * steps * passes * each
        return minutes("evaluation", work, attempt)

    def of_megabytes(wildcards, attempt):
        each = per_image(wildcards.id_dataset, wildcards.network)
        return megabytes("evaluation", batch * each, attempt)

    return of_minutes, of_megabytes


throughput_minutes, throughput_mb = drawing(
    STUDY["throughput"]["images"] + STUDY["throughput"]["batch"],
    costs.STEPS,
    STUDY["throughput"]["batch"],
)
embedding_minutes, embedding_mb = drawing(
    STUDY["embedding"]["samples"], costs.STEPS, STUDY["embedding"]["batch"]
)
chains_minutes, chains_mb = drawing(
    STUDY["chains"]["chains"], STUDY["chains"]["steps"], STUDY["chains"]["chains"]
)


def preparation_minutes(wildcards, attempt):
    return 240 * attempt


def preparation_mb(wildcards, attempt):
    """Memory of a preparation, each of whose processes decodes whole photographs."""
    return attempt * (2000 + 1000 * cpus_of("preparation"))


def small_minutes(wildcards, attempt):
    return 60 * attempt


def small_mb(wildcards, attempt):
    return 4000 * attempt
