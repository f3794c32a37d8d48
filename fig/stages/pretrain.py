"""Rule pretrain: a standard discriminator from random initialisation."""

from typing import Annotated

import typer

from fig.methods.standard import Standard
from fig.runtime import timing
from fig.runtime.cluster import Resources
from fig.runtime.command import command_line
from fig.settings import settings_of
from fig.stages.job import TrainingJob, architecture_of, run
from fig.stages.options import Checkpoints, Json, Output, Seed, Train, parsed
from fig.training import TrainingSettings


def pretrain(
    train: Train,
    network: Annotated[str, typer.Option(help="Name of the network.")],
    output: Output,
    checkpoints: Checkpoints,
    training: Json,
    seed: Seed = 0,
    width: Annotated[float, typer.Option(help="Multiplies the channels of every layer.")] = 1.0,
    scaling: Annotated[
        str, typer.Option(help="symmetric (to [-1, 1]) or standardised (by the data set).")
    ] = "symmetric",
    resources: Json = "{}",
) -> None:
    """Train a standard discriminator."""
    clock = timing.begin("pretrain")
    job = TrainingJob(
        stage="pretrain",
        train=train,
        output=output,
        checkpoints=checkpoints,
        variant="standard",
        seed=seed,
        method=Standard(),
        training=settings_of(TrainingSettings, parsed(training, "--training"), "training"),
        architecture=architecture_of(train, network, width, scaling),
    )
    run(job, settings_of(Resources, parsed(resources, "--resources"), "resources"), clock)


if __name__ == "__main__":
    command_line(__spec__.name)
