"""fig sample: draw what a discriminator is confidently wrong about."""

import time
from pathlib import Path
from typing import Annotated

import typer

from fig.commands.options import Batch, Discriminator, Seed, Settings

SECONDS_BETWEEN = 20.0  # two savings of an unfinished drawing


def sample(
    discriminator: Discriminator,
    out: Annotated[Path, typer.Option(help="Picture to be written; the arrays go beside it, as .npz.")],
    count: Annotated[int, typer.Option(min=1, help="Samples.")] = 64,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Take exactly so many steps, instead of stopping when confidence has.")
    ] = None,
    wanted: Annotated[
        int | None, typer.Option("--class", min=0, help="Keep only samples that are predicted as this class.")
    ] = None,
    batch: Batch = 128,
    seed: Seed = 0,
    settings: Settings = "{}",
) -> None:
    """Draw low-entropy samples from the implicit generator of a discriminator.

    Stopped by Ctrl-C or killed, the same command goes on where it was.

    Example, the setting of the paper's Figure 5:
    fig sample results/cifar10/discriminators/cifar10/resnet18/fig/0 --steps 10000 --class 5 --out dogs.png
    """
    from dataclasses import asdict, replace

    from fig import parallel
    from fig.discriminator import load
    from fig.runtime.provenance import file_hash, provenance_key
    from fig.sampler import SamplerSettings
    from fig.sampling import Drawing, Request, drawings, drawn, load_drawing, save_drawing
    from fig.settings import settings_of
    from fig.stages.options import parsed
    from fig.stages.pictures import write_samples

    chosen = settings_of(SamplerSettings, parsed(settings, "--settings"), "--settings")
    if steps is not None:
        chosen = replace(chosen, min_steps=steps, max_steps=steps)
    loaded = load(discriminator).to(parallel.device())
    if wanted is not None and wanted >= (classes := loaded.architecture.classes):
        raise ValueError(f"--class is {wanted}: the discriminator's classes are 0 to {classes - 1}")
    request = Request(count, loaded.shape, chosen, seed, batch, wanted)
    key = provenance_key({"request": asdict(request), "weights": file_hash(discriminator / "model.safetensors")})
    unfinished = out.with_name(f".{out.stem}-{key}.unfinished")
    saved, last = time.monotonic(), load_drawing(unfinished)

    def keep(drawing: Drawing) -> None:
        nonlocal saved, last
        last = drawing
        if time.monotonic() - saved > SECONDS_BETWEEN:
            save_drawing(unfinished, drawing)
            saved = time.monotonic()

    try:
        samples = drawn(request, drawings(loaded.network, request, last), each=keep)
    except KeyboardInterrupt:
        save_drawing(unfinished, last)
        typer.echo(f"interrupted: the same command goes on from {unfinished}", err=True)
        raise typer.Exit(130) from None
    write_samples(out, samples)
    unfinished.unlink(missing_ok=True)
    confidence = samples.confidence.mean()
    print(f"{count} samples of mean confidence {confidence:.3f} are in {out} and {out.with_suffix('.npz')}")
