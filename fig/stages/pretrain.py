"""Rule pretrain: a standard discriminator from random initialisation."""

from fig.data.augment import Augmentation
from fig.methods.standard import Standard
from fig.runtime import timing
from fig.runtime.cluster import Resources
from fig.runtime.command import command_line
from fig.settings import settings_of
from fig.stages.job import TrainingJob, architecture_of, run
from fig.stages.options import Checkpoints, Json, Network, Output, Scaling, Seed, Train, parsed
from fig.training import TrainingSettings


def pretrain(
    train: Train,
    network: Network,
    architecture: Json,
    augmentation: Json,
    output: Output,
    checkpoints: Checkpoints,
    training: Json,
    seed: Seed = 0,
    scaling: Scaling = "symmetric",
    resources: Json = "{}",
) -> None:
    """Train a standard discriminator."""
    clock = timing.begin("pretrain")
    augmented = settings_of(Augmentation, parsed(augmentation, "--augmentation"), "augmentation")
    job = TrainingJob(
        stage="pretrain",
        train=train,
        output=output,
        checkpoints=checkpoints,
        variant="standard",
        seed=seed,
        method=Standard(),
        training=settings_of(TrainingSettings, parsed(training, "--training"), "training"),
        augmentation=augmented,
        architecture=architecture_of(train, network, parsed(architecture, "--architecture"), scaling, augmented.size),
    )
    run(job, settings_of(Resources, parsed(resources, "--resources"), "resources"), clock)


if __name__ == "__main__":
    command_line(__spec__.name)
