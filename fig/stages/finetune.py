"""Rule finetune: patch a standard discriminator, by FIG or by a method compared with it."""

from pathlib import Path

from fig.discriminator import load_card
from fig.runtime import timing
from fig.runtime.cluster import Resources
from fig.runtime.command import command_line
from fig.settings import settings_of
from fig.stages.job import TrainingJob, run
from fig.stages.options import Checkpoints, Folder, Json, Output, Seed, Train, Variant, parsed
from fig.stages.variant import recipe_of


def finetuning_job(
    stage: str, train: Path, standard: Path, output: Path, checkpoints: Path, variant: str, seed: int, settings: str
) -> TrainingJob:
    """The job that fine-tunes `standard`; `settings` is the JSON of the variant's recipe."""
    recipe = recipe_of(settings)
    return TrainingJob(
        stage=stage,
        train=train,
        output=output,
        checkpoints=checkpoints,
        variant=variant,
        seed=seed,
        method=recipe.method,
        training=recipe.training,
        augmentation=recipe.augmentation,
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
