"""fig patch: fine-tune a saved discriminator by FIG with images of its classes, without the pipeline."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from cyclopts.validators import Path as Exists

from fig.commands.answers import Answer
from fig.commands.options import Count, Folder, Seed, Settings, TrustFactory, is_trusted, parse_json, prepare_images


def patch(
    discriminator: Folder,
    images: Annotated[
        Path,
        Parameter(
            validator=Exists(exists=True), help="Folder or archive of class folders, or a prepared split (.npy)."
        ),
    ],
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder of the fine-tuned discriminator, to be written.")],
    iterations: Annotated[Count, Parameter(help="Fine-tuning iterations.")] = 1000,
    K: Annotated[float, Parameter("--K", validator=Number(gte=0, lte=1), help="Low-entropy share of a batch.")] = 0.1,
    batch_size: Annotated[Count, Parameter(help="Images in a batch.")] = 128,
    learning_rate: Annotated[float, Parameter(help="Learning rate of SGD.")] = 0.001,
    padding: Annotated[
        int, Parameter(validator=Number(gte=0), help="Zeros around an image before its random crop, in pixels.")
    ] = 0,
    flip: Annotated[bool, Parameter(help="Mirror images at random.", negative=(), show_default=False)] = False,
    seed: Seed = 0,
    settings: Settings = "{}",
    trust_factory: TrustFactory = False,
) -> Answer:
    """Fine-tune a discriminator by FIG, in this process.

    After Ctrl-C or a crash, the same command resumes. The defaults are the paper's.

    Example:
        fig patch mine data/pets/train --out patched

    """
    from fig.data.arrays import description_of
    from fig.discriminator import check_no_factory, load_card
    from fig.parallel import own_device
    from fig.settings import Augmentation, Finetuning, Resources, SamplerSettings, read_settings
    from fig.stages.finetune import Finetune
    from fig.stages.support.trainer import train_discriminator

    card = load_card(discriminator)
    architecture = card.architecture
    if not is_trusted(discriminator, trust_factory):
        check_no_factory(discriminator, card)
    sampler = parse_json(settings, "--settings")
    read_settings(SamplerSettings, sampler, "--settings")
    train = prepare_images(images.resolve(), out.resolve() / "data", architecture.size)
    classes = description_of(train).classes
    if len(classes) != architecture.classes:
        what = f"{len(classes)} classes, but the discriminator has {architecture.classes}"
        raise ValueError(f"{images} has {what}: give the images that it was trained on")
    job = Finetune(
        train=train,
        standard=discriminator.resolve(),
        variant="fig",
        seed=seed,
        method="fig",
        settings={"K": K, "sampler": sampler},
        training=Finetuning(learning_rate=learning_rate, iterations=iterations, batch_size=batch_size, log_every=10),
        augmentation=Augmentation(size=architecture.size, padding=padding, flip=flip),
        output=out.resolve(),
        checkpoints=out.resolve() / "checkpoints",
        resources=Resources(workers=0, gpus_per_worker=float(own_device().type == "cuda")),
    )
    try:
        train_discriminator(job, lambda function, call: function(call))
    except KeyboardInterrupt:
        print(f"interrupted: the same command resumes from {job.checkpoints}", file=sys.stderr)
        sys.exit(130)
    print(f"The fine-tuned discriminator is in {out}.")
    return {"discriminator": out}
