"""Rule retrain: a discriminator from random initialisation, by a method compared with FIG or by FIG itself."""

from dataclasses import replace

from fig.runtime import timing
from fig.runtime.cluster import Resources
from fig.runtime.command import command_line
from fig.settings import settings_of
from fig.stages.job import TrainingJob, architecture_of, run
from fig.stages.options import Checkpoints, Json, Network, Output, Scaling, Seed, Train, Variant, parsed
from fig.stages.variant import recipe_of


def retrain(
    train: Train,
    network: Network,
    architecture: Json,
    output: Output,
    checkpoints: Checkpoints,
    variant: Variant,
    settings: Json,
    seed: Seed = 0,
    scaling: Scaling = "symmetric",
    resources: Json = "{}",
) -> None:
    """Train a discriminator from random initialisation."""
    clock = timing.begin("retrain")
    recipe = recipe_of(settings)
    built = architecture_of(train, network, parsed(architecture, "--architecture"), scaling, recipe.augmentation.size)
    job = TrainingJob(
        stage="retrain",
        train=train,
        output=output,
        checkpoints=checkpoints,
        variant=variant,
        seed=seed,
        method=recipe.method,
        training=recipe.training,
        augmentation=recipe.augmentation,
        architecture=replace(built, head=recipe.method.head),
    )
    run(job, settings_of(Resources, parsed(resources, "--resources"), "resources"), clock)


if __name__ == "__main__":
    command_line(__spec__.name)
