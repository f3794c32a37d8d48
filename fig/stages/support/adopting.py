"""How a trained classifier becomes a discriminator."""

import time
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from fig.data.arrays import description_of, open_split
from fig.data.batches import images_at
from fig.discriminator import Architecture, Card, Discriminator, save
from fig.frozen import frozen
from fig.networks.outputs import bare
from fig.networks.weights import load_weights
from fig.stages.adopt import Adopt
from fig.stages.support.trainer import build_architecture, library_versions, write_history


def adopt_weights(architecture: Architecture, weights: Path | None, seed: int, images: Tensor) -> Discriminator:
    """A discriminator with a checkpoint's weights or, without one, those that its factory gives the network.

    Raises ValueError where they do not fit, or do not give one logit for each class of the `images`.
    """
    discriminator = Discriminator(architecture, seed)
    if weights:
        load_weights(bare(discriminator.network), weights)
    with frozen(discriminator), torch.no_grad():
        logits = discriminator(images)
    if logits.shape != (len(images), architecture.classes):
        what = f"{tuple(logits.shape)} for {len(images)} images, not logits for {architecture.classes} classes"
        raise ValueError(f"the network gives {what}")
    return discriminator


def adopt_classifier(job: Adopt) -> None:
    """Write the discriminator's folder with the checkpoint's weights; raises ValueError where they do not fit."""
    architecture = build_architecture(job.train, job.network, job.architecture, job.scaling, job.size)
    images = images_at(open_split(job.train), torch.arange(2))[..., : job.size, : job.size]
    discriminator = adopt_weights(architecture, job.weights, job.seed, images)
    origin, data = job.origin(), description_of(job.train)
    about = {"made_of": asdict(origin), "versions": library_versions()}
    write_history(job.output / "history.csv", [{"iteration": 0, "time": round(time.time(), 3)}])
    card = Card(architecture, data.dataset, "standard", job.seed, origin.key, about, class_names=tuple(data.classes))
    save(job.output, discriminator, card)
