"""What a job asks of a cluster, derived from what it has to do: generous, and more in each attempt.

Resources rerun nothing. A site overrides any of them by rule: see docs/cluster.md.
"""

from dataclasses import replace

from fig import costs
from fig.configuration import Discriminator

MARGIN = 4  # by which a job may be slower than reckoned
STARTING = 30  # minutes for imports, Ray and a slow file system
LONGEST = 1440  # minutes: a training that needs more goes on from its checkpoint in its next attempt
MB_OF_A_WORKER = 8000  # Python, torch, Ray, and CUDA's libraries
MB_OF_AN_IMAGE = 40  # of 32 x 32 pixels in a batch: what a network keeps of it, on a worker without GPU


def workers_of(stage):
    return max(1, STUDY["resources"].get(stage, {}).get("workers", 1))


def minutes(stage, work, attempt):
    """Minutes for a stage's work, in the units of fig.costs."""
    rate = costs.ASSUMED["gpu" if gpus_of(stage) else "cpu"].units * workers_of(stage)
    return min(LONGEST, ceil(attempt * (STARTING + MARGIN * work / rate / 60)))


def megabytes(stage, batch, attempt):
    """Memory for a stage's workers, and for its batch where they have no GPU; a GPU's own is not counted."""
    own = MB_OF_A_WORKER * workers_of(stage)
    return attempt * ceil(own + (0 if gpus_of(stage) else MB_OF_AN_IMAGE * batch))


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


def preparation_minutes(wildcards, attempt):
    return 240 * attempt


def preparation_mb(wildcards, attempt):
    """Memory of a preparation, each of whose processes decodes whole photographs."""
    return attempt * (2000 + 1000 * cpus_of("preparation"))


def small_minutes(wildcards, attempt):
    return 60 * attempt


def small_mb(wildcards, attempt):
    return 4000 * attempt
