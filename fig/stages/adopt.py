"""Rule adopt: a standard discriminator out of a classifier that is trained already."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fig.data.arrays import description_of, open_split
from fig.data.batches import images_at
from fig.discriminator import Card, Discriminator, save
from fig.frozen import frozen
from fig.networks.own import load_weights
from fig.runtime import timing
from fig.runtime.command import command_line
from fig.runtime.provenance import file_hash, fingerprint, provenance_key
from fig.runtime.tracking import try_to_mirror
from fig.stages.job import architecture_of, versions, write_history
from fig.stages.options import Json, Network, Output, Scaling, Seed, Size, Train, parsed


def check_logits(discriminator: Discriminator, train: Path) -> None:
    """Raise ValueError where the network does not give one logit for each class of two training images."""
    import torch

    data = open_split(train)
    size, classes = discriminator.architecture.size, discriminator.architecture.classes
    images = images_at(data, torch.arange(2))[..., :size, :size]
    with frozen(discriminator), torch.no_grad():
        logits = discriminator(images)
    if logits.shape != (2, classes):
        raise ValueError(f"the network gives {tuple(logits.shape)} for two images, not logits for {classes} classes")


def adopt(
    train: Train,
    network: Network,
    architecture: Json,
    size: Size,
    checkpoint: Annotated[Path, typer.Option(exists=True, help="Its weights: safetensors, or a state dict.")],
    output: Output,
    seed: Seed = 0,
    scaling: Scaling = "symmetric",
) -> None:
    """Take a trained classifier as the standard discriminator, as it is."""
    clock = timing.begin("adopt")
    built = architecture_of(train, network, parsed(architecture, "--architecture"), scaling, size)
    discriminator = Discriminator(built, seed)
    load_weights(discriminator.network, checkpoint)
    check_logits(discriminator, train)
    made_of = {
        "code": fingerprint("fig.stages.adopt"),
        "architecture": asdict(built),
        "seed": seed,
        "checkpoint": file_hash(checkpoint),
    }
    dataset = description_of(train).dataset
    card = Card(built, dataset, "standard", seed, provenance_key(made_of), {"made_of": made_of, "versions": versions()})
    write_history(output / "history.csv", [{"iteration": 0, "time": round(time.time(), 3)}])
    save(output, discriminator, card)
    timing.write(clock, output / "timing.training.json")
    try_to_mirror(output)


if __name__ == "__main__":
    command_line(__spec__.name)
