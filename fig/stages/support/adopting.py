"""How a trained classifier becomes a discriminator."""

import time
from dataclasses import asdict
from pathlib import Path

import torch

from fig.data.arrays import description_of, open_split
from fig.data.batches import images_at
from fig.discriminator import Card, Discriminator, save
from fig.frozen import frozen
from fig.networks.building import load_weights
from fig.networks.outputs import bare
from fig.stages.adopt import Adopt
from fig.stages.support.trainer import build_architecture, library_versions, write_history


def check_logits(discriminator: Discriminator, train: Path) -> None:
    """Raise ValueError where the network does not give one logit for each class of two training images."""
    data = open_split(train)
    size, classes = discriminator.architecture.size, discriminator.architecture.classes
    images = images_at(data, torch.arange(2))[..., :size, :size]
    with frozen(discriminator), torch.no_grad():
        logits = discriminator(images)
    if logits.shape != (2, classes):
        raise ValueError(f"the network gives {tuple(logits.shape)} for two images, not logits for {classes} classes")


def adopt_classifier(job: Adopt) -> None:
    """Write the discriminator's folder with the checkpoint's weights; raises ValueError where they do not fit."""
    architecture = build_architecture(job.train, job.network, job.architecture, job.scaling, job.size)
    discriminator = Discriminator(architecture, job.seed)
    load_weights(bare(discriminator.network), job.weights)
    check_logits(discriminator, job.train)
    origin = job.origin()
    about = {"made_of": asdict(origin), "versions": library_versions()}
    write_history(job.output / "history.csv", [{"iteration": 0, "time": round(time.time(), 3)}])
    save(
        job.output,
        discriminator,
        Card(architecture, description_of(job.train).dataset, "standard", job.seed, origin.key, about),
    )
