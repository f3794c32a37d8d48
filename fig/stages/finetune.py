"""Rule finetune: patch a standard discriminator, by FIG or by a method compared with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fig.data.augment import Augmentation
from fig.discriminator import load_card
from fig.methods.table import METHODS
from fig.runtime import timing
from fig.runtime.cluster import Resources
from fig.runtime.command import command_line
from fig.settings import settings_of
from fig.stages.job import TrainingJob, run
from fig.stages.options import Checkpoints, Folder, Json, Output, Seed, Train, Variant, parsed
from fig.training import TrainingSettings


@dataclass(frozen=True)
class VariantSettings:
    """What `--settings` says of a variant: its method, and the settings of the three."""

    method: str
    settings: dict[str, Any]  # the method's
    training: dict[str, Any]
    augmentation: dict[str, Any]


def finetuning_job(
    stage: str, train: Path, standard: Path, output: Path, checkpoints: Path, variant: str, seed: int, settings: str
) -> TrainingJob:
    """The job that fine-tunes `standard`; `settings` is the JSON of the variant's VariantSettings."""
    stated = settings_of(VariantSettings, parsed(settings, "--settings"), "--settings")
    if stated.method not in METHODS:
        raise ValueError(f"no method is called {stated.method!r}: choose one of {', '.join(METHODS)}")
    return TrainingJob(
        stage=stage,
        train=train,
        output=output,
        checkpoints=checkpoints,
        variant=variant,
        seed=seed,
        method=settings_of(METHODS[stated.method], stated.settings, stated.method),
        training=settings_of(TrainingSettings, stated.training, "finetuning"),
        augmentation=settings_of(Augmentation, stated.augmentation, "augmentation"),
        architecture=load_card(standard).architecture,
        standard=standard,
    )


def finetune(
    train: Train,
    standard: Folder,
    output: Output,
    checkpoints: Checkpoints,
    variant: Variant,
    settings: Json,
    seed: Seed = 0,
    resources: Json = "{}",
) -> None:
    """Fine-tune a standard discriminator."""
    clock = timing.begin("finetune")
    job = finetuning_job("finetune", train, standard, output, checkpoints, variant, seed, settings)
    run(job, settings_of(Resources, parsed(resources, "--resources"), "resources"), clock)


if __name__ == "__main__":
    command_line(__spec__.name)
