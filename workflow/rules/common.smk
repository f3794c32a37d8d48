"""The Python of the workflow: the configuration resolved, and small named functions that the rules refer to."""

import json
from pathlib import Path

from fig.configuration import (
    ConfigurationError,
    complete,
    discriminators,
    method_of,
    settings_of_variant,
)
from fig.data.catalogue import ID_DATASETS
from fig.runtime.provenance import file_hash, fingerprint

if not config:
    raise WorkflowError(
        "no configuration is given: use --profile local, --profile slurm or --configfile FILE"
    )

try:
    STUDY = complete(config)
except ConfigurationError as error:
    raise WorkflowError(f"the configuration is refused: {error}") from None

DISCRIMINATORS = {d.path: d for d in discriminators(STUDY)}
TRANSFERRED = [
    name for name, variant in STUDY["variants"].items() if "teacher" in variant
]
FINETUNED = [name for name in STUDY["variants"] if name not in TRANSFERRED]
FOLDER = "results/{run}/discriminators/{id_dataset}/{network}/{variant}/{seed}"
STANDARD = "results/{run}/discriminators/{id_dataset}/{network}/standard/{seed}"


wildcard_constraints:
    run=STUDY["run"],
    id_dataset="|".join(ID_DATASETS),
    network="|".join(STUDY["networks"]),
    seed=r"\d+",
    size=r"\d+",
    dataset="[a-z0-9-]+",
    split="train|test",


def as_json(value):
    return json.dumps(value, sort_keys=True)


def one_of(names):
    """A wildcard's constraint to these names; one that matches nothing where there are none."""
    return "|".join(names) or "(?!)"


def resources_of(stage):
    return as_json(STUDY["resources"].get(stage, {}))


def cpus_of(stage):
    own = STUDY["resources"].get(stage, {})
    return max(1, own.get("workers", 1)) * own.get("cpus_per_worker", 1)


def gpus_of(stage):
    own = STUDY["resources"].get(stage, {})
    return own.get("workers", 1) * own.get("gpus_per_worker", 0)


def train_split(wildcards):
    return f"data/{ID_DATASETS[wildcards.id_dataset].size}/{wildcards.id_dataset}/train.npy"


def test_split(wildcards):
    return (
        f"data/{ID_DATASETS[wildcards.id_dataset].size}/{wildcards.id_dataset}/test.npy"
    )


def ood_splits(wildcards):
    found = DISCRIMINATORS[
        "{id_dataset}/{network}/{variant}/{seed}".format(**wildcards)
    ]
    return [
        f"data/{ID_DATASETS[found.id_dataset].size}/{name}/test.npy"
        for name in found.ood_datasets
    ]


def width_of(wildcards):
    return STUDY["networks"][wildcards.network].get("width", 1.0)


def variant_settings(wildcards):
    return as_json(settings_of_variant(STUDY, wildcards.variant))


def teacher_model(wildcards):
    teacher = STUDY["variants"][wildcards.variant]["teacher"]
    return f"results/{wildcards.run}/discriminators/{wildcards.id_dataset}/{teacher}/standard/{wildcards.seed}/model.safetensors"


def folder_options(wildcards):
    """The discriminators of the run as options of a command."""
    return " ".join(
        f"--discriminator results/{wildcards.run}/discriminators/{path}"
        for path in DISCRIMINATORS
    )


def of_all(name):
    """This file of every discriminator of the run."""
    return [f"results/{{run}}/discriminators/{path}/{name}" for path in DISCRIMINATORS]


def all_prepared(suffix):
    """This file of every prepared split of the run."""
    splits = {}
    for found in DISCRIMINATORS.values():
        size = ID_DATASETS[found.id_dataset].size
        splits |= {
            f"data/{size}/{found.id_dataset}/{s}": None for s in ("train", "test")
        }
        splits |= {f"data/{size}/{name}/test": None for name in found.ood_datasets}
    return [f"{split}.{suffix}" for split in splits]


def teacher_timings():
    """The training times of those teachers that are not evaluated themselves."""
    teachers = {
        f"{found.id_dataset}/{STUDY['variants'][found.variant]['teacher']}/standard/{found.seed}": None
        for found in DISCRIMINATORS.values()
        if found.variant in TRANSFERRED
    }
    return [
        f"results/{{run}}/discriminators/{path}/timing.training.json"
        for path in teachers
        if path not in DISCRIMINATORS
    ]
