"""The Python of the workflow: the configuration resolved, and small named functions that the rules refer to."""

import json
import os
import re
from dataclasses import asdict
from functools import cache
from pathlib import Path
from shlex import quote

from fig.configuration import STANDARD as STANDARD_VARIANT
from fig.configuration import (
    ConfigurationError,
    complete,
    discriminators,
    method_of,
    settings_of_variant,
    splits,
    teacher_of,
    teachers,
)
from fig.data.catalogue import (
    IdDataset,
    datasets_of,
    downloads,
    files_of,
    id_names,
    recipe,
    source_of,
)
from fig.methods.table import RETRAINING, module_of
from fig.runtime.provenance import file_hash, fingerprint, module_hash

if not config:
    raise WorkflowError(
        "no configuration is given: use --profile local, --profile slurm or --configfile FILE"
    )

try:
    STUDY = complete(config)
except ConfigurationError as error:
    raise WorkflowError(f"the configuration is refused: {error}") from None

CONFIGFILES = [os.path.relpath(path) for path in workflow.configfiles]
OVERRIDES = [
    quote(f"{key}={json.dumps(value)}")
    for key, value in workflow.config_settings.config.items()
]
CONFIGURATION = " ".join([*CONFIGFILES, *["--config"] * bool(OVERRIDES), *OVERRIDES])
DATASETS = datasets_of(STUDY["datasets"])
OWN_DATASETS = config.get("datasets", {})
DOWNLOADS = {(source, file.on_disk): file for source, file in downloads(DATASETS)}
ADOPTED = [name for name, stated in STUDY["networks"].items() if "checkpoint" in stated]
PRETRAINED = [name for name in STUDY["networks"] if name not in ADOPTED]
DISCRIMINATORS = {d.path: d for d in discriminators(STUDY)}
PAGES = [  # files that are code to the report, though not Python
    file_hash(path)
    for pattern in ("fig/report/templates/*", "workflow/report/*.rst")
    for path in sorted(Path(workflow.basedir).glob(pattern))
]
TRANSFERRED = [
    name for name, variant in STUDY["variants"].items() if "teacher" in variant
]
RETRAINED = [name for name in STUDY["variants"] if method_of(STUDY, name) in RETRAINING]
FINETUNED = [name for name in STUDY["variants"] if name not in TRANSFERRED + RETRAINED]
FOLDER = "results/{run}/discriminators/{id_dataset}/{network}/{variant}/{seed}"
STANDARD = "results/{run}/discriminators/{id_dataset}/{network}/standard/{seed}"


wildcard_constraints:
    run=STUDY["run"],
    id_dataset="|".join(id_names(DATASETS)),
    network="|".join(STUDY["networks"]),
    seed=r"\d+",
    size=r"\d+",
    dataset="[a-z0-9-]+",
    split="train|test",


def as_json(value):
    return json.dumps(value, sort_keys=True)


def one_of(names):
    """A wildcard's constraint to these names; one that matches nothing where there are none."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


def resources_of(stage):
    return as_json(STUDY["resources"].get(stage, {}))


def size_of(id_dataset):
    return DATASETS[id_dataset].size


def file_offered(wildcards):
    return as_json(asdict(DOWNLOADS[wildcards.source, wildcards.file]))


def download_options():
    """Where downloads come from: how they came changes nothing about them, so it reruns nothing."""
    stated = STUDY["data"]
    mirror = [f"--mirror {quote(stated['mirror'])}"] if stated.get("mirror") else []
    accepting = stated.get("accept_unknown_hashes", False)
    return " ".join(mirror + ["--accept-unknown-hashes"] * accepting)


def files_to_prepare(wildcards):
    return files_of(wildcards.dataset, wildcards.split, DATASETS)


def training_split_of_test(wildcards):
    """An ID test split is prepared beside its training split: same classes, no image in both."""
    is_test = (
        isinstance(DATASETS.get(wildcards.dataset), IdDataset)
        and wildcards.split == "test"
    )
    return [f"data/{wildcards.size}/{wildcards.dataset}/train.npy"] if is_test else []


def recipe_of(wildcards):
    own = source_of(wildcards.dataset, DATASETS) in OWN_DATASETS
    return as_json(
        asdict(
            recipe(
                wildcards.dataset, wildcards.split, int(wildcards.size), DATASETS, own
            )
        )
    )


def train_split(wildcards):
    return f"data/{size_of(wildcards.id_dataset)}/{wildcards.id_dataset}/train.npy"


def test_split(wildcards):
    return f"data/{size_of(wildcards.id_dataset)}/{wildcards.id_dataset}/test.npy"


def ood_splits(wildcards):
    found = DISCRIMINATORS[
        "{id_dataset}/{network}/{variant}/{seed}".format(**wildcards)
    ]
    return [
        f"data/{size_of(found.id_dataset)}/{name}/test.npy"
        for name in found.ood_datasets
    ]


def architecture_of(wildcards):
    """What is stated of a network, its checkpoint aside."""
    stated = STUDY["networks"][wildcards.network]
    return as_json({key: stated[key] for key in stated if key != "checkpoint"})


def factory_hash(wildcards):
    """Hash of the file with the factory of a network of one's own."""
    factory = STUDY["networks"][wildcards.network].get("factory")
    return module_hash(factory.partition(":")[0]) if factory else ""


def checkpoint_of(wildcards):
    return STUDY["networks"][wildcards.network]["checkpoint"]


def augmentation_of(wildcards):
    return as_json(DATASETS[wildcards.id_dataset].augmentation)


def pretraining_settings(wildcards):
    return as_json(
        settings_of_variant(STUDY, STANDARD_VARIANT, wildcards.id_dataset)["training"]
    )


def variant_settings(wildcards):
    augmentation = DATASETS[wildcards.id_dataset].augmentation
    settings = settings_of_variant(STUDY, wildcards.variant, wildcards.id_dataset)
    return as_json(settings | {"augmentation": augmentation})


@cache
def code_of_method(stage, method):
    return fingerprint(f"fig.stages.{stage}", module_of(method))


def code_of(stage):
    """Code of a stage and of a variant's method, as a function of wildcards."""

    def code(wildcards):
        return code_of_method(stage, method_of(STUDY, wildcards.variant))

    return code


def teacher_model(wildcards):
    network, variant = teacher_of(STUDY["variants"][wildcards.variant])
    return f"results/{wildcards.run}/discriminators/{wildcards.id_dataset}/{network}/{variant}/{wildcards.seed}/model.safetensors"


def detectors_stated(wildcards):
    found = DISCRIMINATORS[
        "{id_dataset}/{network}/{variant}/{seed}".format(**wildcards)
    ]
    return as_json({name: STUDY["detectors"][name] for name in found.detectors})


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
    return [f"{split}.{suffix}" for split in splits(STUDY)]


def teacher_timings():
    """The training times of those teachers that are not evaluated themselves."""
    return [
        f"results/{{run}}/discriminators/{found.path}/timing.training.json"
        for found in teachers(STUDY)
    ]


def captioned(path, category, name="", **labels):
    """An output for Snakemake's report, with the caption that is in workflow/report under this name or the file's."""
    caption = f"../report/{name or Path(path).stem}.rst"
    return report(path, caption=caption, category=category, labels=labels)


def tabled(path, caption, **labels):
    """The files of a table, of which Snakemake's report shows the HTML and the CSV."""
    shown = [".html", ".csv"]
    rest = [f"{path}{suffix}" for suffix in TABLE_TYPES if suffix not in shown]
    return rest + [
        captioned(f"{path}{suffix}", "Tables", caption, **labels, file=suffix[1:])
        for suffix in shown
    ]


def pictures():
    """The pictures of the paper's figures, and of ranks where methods are compared."""
    files = [path for target in SHOWN for path in files_of_target(target)]
    ranks = [f"results/{STUDY['run']}/figures/ranks.png"] if COMPARING else []
    return [path for path in files if path.endswith(".png")] + ranks
