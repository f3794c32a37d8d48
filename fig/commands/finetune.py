"""fig finetune: patch a saved discriminator with images of its classes, without the pipeline."""

from pathlib import Path
from typing import Annotated

import typer

from fig.commands.options import Discriminator, Settings


def prepared(images: Path, folder: Path, size: int) -> Path:
    """The training split of a folder or archive of class folders, prepared below `folder`; an array as it is."""
    from fig.data.catalogue import IdDataset, Part, files_of, recipe
    from fig.data.prepare import prepare

    if images.suffix == ".npy" and images.with_suffix(".json").exists():
        return images
    name = images.name.partition(".")[0]
    datasets = {name: IdDataset(Part(path=str(images)), size)}
    train = folder / str(size) / name / "train.npy"
    files = [Path(file) for file in files_of(name, "train", datasets)]
    prepare(train, files, recipe(name, "train", size, datasets, own=True))
    return train


def finetune(
    discriminator: Discriminator,
    images: Annotated[
        Path, typer.Argument(exists=True, help="Folder or archive of class folders, or a prepared split (.npy).")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the fine-tuned discriminator, to be written.")],
    iterations: Annotated[int, typer.Option(min=1, help="Fine-tuning iterations.")] = 1000,
    K: Annotated[float, typer.Option("--K", min=0, max=1, help="Low-entropy share of a batch.")] = 0.1,
    batch_size: Annotated[int, typer.Option(min=1, help="Images in a batch.")] = 128,
    learning_rate: Annotated[float, typer.Option(help="Learning rate of SGD.")] = 0.001,
    padding: Annotated[int, typer.Option(min=0, help="Zeros around an image before its random crop, in pixels.")] = 0,
    flip: Annotated[bool, typer.Option("--flip", help="Mirror images at random.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of batches, crops and chains.")] = 0,
    settings: Settings = "{}",
) -> None:
    """Fine-tune a discriminator by FIG, in this process.

    Stopped by Ctrl-C or killed, the same command goes on where it was. The defaults are the paper's.

    Example: fig finetune results/mine/discriminators/pets/patched/standard/0 data/pets/train --out patched
    """
    from fig.data.arrays import description_of
    from fig.data.augment import Augmentation
    from fig.discriminator import load_card
    from fig.methods.implicit_generator import ImplicitGenerator
    from fig.sampler import SamplerSettings
    from fig.settings import settings_of
    from fig.stages.job import TrainingJob, trained
    from fig.stages.options import parsed
    from fig.training import TrainingSettings

    architecture = load_card(discriminator).architecture
    sampler = settings_of(SamplerSettings, parsed(settings, "--settings"), "--settings")
    train = prepared(images.resolve(), out.resolve() / "data", architecture.size)
    classes = description_of(train).classes
    if len(classes) != architecture.classes:
        told = f"{len(classes)} classes, the discriminator tells {architecture.classes} apart"
        raise ValueError(f"{images} has {told}: give the images that it was trained on")
    job = TrainingJob(
        stage="finetune",
        train=train,
        output=out.resolve(),
        checkpoints=out.resolve() / "checkpoints",
        variant="fig",
        seed=seed,
        method=ImplicitGenerator(K, sampler),
        training=TrainingSettings(learning_rate, iterations=iterations, batch_size=batch_size, log_every=10),
        augmentation=Augmentation(architecture.size, padding, flip),
        architecture=architecture,
        standard=discriminator.resolve(),
    )
    try:
        trained(job, lambda function, call: function(call))
    except KeyboardInterrupt:
        typer.echo(f"interrupted: the same command goes on from {job.checkpoints}", err=True)
        raise typer.Exit(130) from None
    print(f"the fine-tuned discriminator is in {out}")
