"""Rule transfer: FIG whose sampler follows a second discriminator, the fixed teacher (Section 4.6)."""

from dataclasses import replace

from fig.runtime import timing
from fig.runtime.cluster import Resources
from fig.runtime.command import command_line
from fig.settings import settings_of
from fig.stages.finetune import finetuning_job
from fig.stages.job import run
from fig.stages.options import Checkpoints, Folder, Json, Output, Seed, Train, Variant, parsed


def transfer(
    train: Train,
    standard: Folder,
    teacher: Folder,
    output: Output,
    checkpoints: Checkpoints,
    variant: Variant,
    settings: Json,
    seed: Seed = 0,
    resources: Json = "{}",
) -> None:
    """Fine-tune a standard discriminator on the low-entropy samples of a fixed teacher."""
    clock = timing.begin("transfer")
    job = finetuning_job("transfer", train, standard, output, checkpoints, variant, seed, settings)
    run(replace(job, teacher=teacher), settings_of(Resources, parsed(resources, "--resources"), "resources"), clock)


if __name__ == "__main__":
    command_line(__spec__.name)
