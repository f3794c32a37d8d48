"""What the rules share: the configuration, where files are, and what a rule says of the job that it does."""

import gc
import json
import os
import re
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from shlex import quote

from fig import costs
from fig.data.catalogue import (
    IdDataset,
    downloads,
    files_of,
    id_names,
    recipe,
    source_of,
)
from fig.runtime.ending import lead_jobs, name_snakemake
from fig.runtime.job import Role
from fig.runtime.locks import HeldError, find_holder, hold_lock
from fig.stages.adopt import Adopt
from fig.stages.chains import Chains
from fig.stages.download import Download
from fig.stages.embedding import Embedding
from fig.stages.evaluate import Evaluate
from fig.stages.finetune import Finetune
from fig.stages.metrics import Metrics
from fig.stages.prepare import Prepare
from fig.stages.pretrain import Pretrain
from fig.stages.report import Report
from fig.stages.retrain import Retrain
from fig.stages.target import MakeTarget
from fig.stages.throughput import Throughput
from fig.stages.transfer import Transfer
from snakemake.logging import logger
from fig.study import (
    ConfigError,
    complete_config,
    list_discriminators,
    list_splits,
    list_parents,
    list_test_images,
    merge,
    parse_override,
    planned_targets,
    read_yaml,
    resolve_recipe,
    rule_of,
    select_all,
    select_studies,
    split_teacher,
)

name_snakemake()

# Jobs are no garbage: to look for it among thousands of them took an eighth of a plan.
gc.set_threshold(100_000)

if not config:
    raise WorkflowError(
        "no configuration is given: use --profile local, --profile slurm or --configfile FILE"
    )

try:
    if len(workflow.modifier_stack) == 1:  # no module, of whose workflow the files are
        for file in workflow.configfiles:  # Snakemake reads them less strictly
            read_yaml(Path(os.path.relpath(file)))
    OVERRIDES = {
        key: parse_override(value, f"--config {key}")
        for key, value in workflow.config_settings.config.items()
    }
    CONFIG = complete_config(merge(config, OVERRIDES))
except ConfigError as error:
    raise WorkflowError(f"the configuration is refused: {error}") from None

if workflow.modifier.path_modifier.replace_prefix("results/") != "results/":
    raise WorkflowError(
        "a prefix of the module is refused, for commands name their files themselves:"
        " give each configuration a `run` of its own, or each workflow a folder"
    )


container: CONFIG.container or None  # with --sdm apptainer


FILES = [quote(os.path.relpath(path)) for path in workflow.configfiles]
OVERRIDDEN = [quote(f"{key}={json.dumps(value)}") for key, value in OVERRIDES.items()]
STATED_AS = " ".join([*FILES, *["--config", *OVERRIDDEN] * bool(OVERRIDDEN)])
RUN = f"results/{CONFIG.run}"
DISCRIMINATORS = {found.path: found for found in list_discriminators(CONFIG)}
DOWNLOADS = {(name, file.on_disk): file for name, file in downloads(CONFIG.datasets)}
EVERYTHING = select_all(CONFIG)  # what the run's own page shows
FIRST_SEED = CONFIG.seeds[0]  # whose samplers are timed
LOCK = Path(RUN) / ".lock"
HELD = ExitStack()  # until this process ends
FOLDER = "results/{run}/discriminators/{id_dataset}/{network}/{variant}/{seed}"
STANDARD = FOLDER.replace("{variant}", "standard")


wildcard_constraints:
    run=re.escape(CONFIG.run),
    id_dataset="|".join(id_names(CONFIG.datasets)),
    network="|".join(CONFIG.networks),
    seed=r"\d+",
    size=r"\d+",
    dataset="[a-z0-9._-]+",
    split="train|test",


if workflow.is_main_process and (holder := find_holder(LOCK)):
    logger.warning(f"{RUN} is locked: {holder} works there.")


def lock_run():
    """Refuse to work in the run's folder while another process does, from any working directory."""
    try:
        HELD.enter_context(hold_lock(LOCK, patience=5))
    except HeldError as holder:
        remedy = "wait for its end, or give this study a `run` of its own"
        raise WorkflowError(
            f"{RUN} is locked: {holder} works there: {remedy}"
        ) from None
    except OSError as error:
        raise WorkflowError(f"{RUN} cannot be locked: {error}") from None


def one_of(names):
    """A wildcard's constraint to these names; one that matches nothing if there is no name."""
    return "|".join(re.escape(name) for name in names) or "(?!)"


def made_by(name_of_rule):
    """The variants that a rule makes."""
    network = next(iter(CONFIG.networks))
    return one_of(
        name
        for name in CONFIG.variants
        if rule_of(CONFIG, name, network) == name_of_rule
    )


def params_of(build):
    """The params of a rule: what its job is made of, which reruns it, and the words after `python -m`.

    `build(wildcards)` is the job. What changes no result is no param: it reruns nothing.
    """
    build = cache(build)

    def made_of(wildcards):
        found = build(wildcards)
        settings = json.dumps(found.values(Role.SETTING), sort_keys=True)
        return f"code {found.code()}, settings {settings}"

    def job(wildcards):
        found = build(wildcards)
        words = found.words(Role.INPUT, Role.SETTING, Role.OUTPUT)
        return [type(found).__module__, *words]

    return {"made_of": made_of, "job": job}


def unrecorded(words):
    """A param that reruns nothing: Snakemake records none that may follow from the job's threads."""
    return lambda wildcards, threads: words


def folder_of(path):
    """The folder of a discriminator's file."""
    return Path(path).parent


def prepared(wildcards, dataset, split):
    size = CONFIG.datasets[wildcards.id_dataset].size
    return f"data/{size}/{dataset}/{split}.npy"


def train_split(wildcards):
    return prepared(wildcards, wildcards.id_dataset, "train")


def test_split(wildcards):
    return prepared(wildcards, wildcards.id_dataset, "test")


def of_all(name):
    """This file of every discriminator of the run."""
    return [f"{RUN}/{path}" for path in EVERYTHING.files(name)]


def captioned(path, category, **labels):
    """An output for Snakemake's report."""
    return report(
        path, caption="../report/target.rst", category=category, labels=labels
    )
