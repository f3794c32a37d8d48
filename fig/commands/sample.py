"""fig sample: draw inputs on which a discriminator is confidently wrong."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from fig.commands.answers import Answer
from fig.commands.options import Batch, Count, Folder, Seed, Settings, TrustFactory, is_trusted, parse_json


def sample(
    discriminator: Folder,
    /,
    *,
    out: Annotated[Path, Parameter(help="Picture to be written; the arrays go next to it, as .npz.")],
    count: Annotated[Count, Parameter(help="Samples.")] = 64,
    steps: Annotated[
        Count | None, Parameter(help="Take exactly so many steps, instead of stopping when confidence has converged.")
    ] = None,
    wanted: Annotated[
        int | None,
        Parameter("--class", validator=Number(gte=0), help="Keep only samples that are predicted as this class."),
    ] = None,
    batch: Batch = 128,
    seed: Seed = 0,
    settings: Settings = "{}",
    trust_factory: TrustFactory = False,
) -> Answer:
    r"""Draw low-entropy samples from a discriminator.

    After Ctrl-C or a crash, the same command resumes.

    Example:
        # as in the paper's Figure 5
        fig sample results/cifar10/discriminators/cifar10/resnet18/fig/0 \
          --steps 10000 --class 5 --out dogs.png

    """
    from dataclasses import asdict, replace

    from fig import parallel
    from fig.discriminator import load
    from fig.runtime.provenance import file_hash, provenance_key
    from fig.sampling import Request, draw_into
    from fig.settings import SamplerSettings, read_settings
    from fig.stages.support.images import write_samples

    chosen = read_settings(SamplerSettings, parse_json(settings, "--settings"), "--settings")
    if steps is not None:
        chosen = replace(chosen, min_steps=steps, max_steps=steps)
    loaded = load(discriminator, is_trusted(discriminator, trust_factory)).to(parallel.own_device())
    if wanted is not None and wanted >= (classes := loaded.architecture.classes):
        raise ValueError(f"--class is {wanted}: the discriminator's classes are 0 to {classes - 1}")
    request = Request(count, loaded.shape, chosen, seed, batch, wanted)
    key = provenance_key({"request": asdict(request), "weights": file_hash(discriminator / "model.safetensors")})
    unfinished = out.with_name(f".{out.stem}-{key}.unfinished")
    try:
        samples = draw_into(loaded.network, request, unfinished)
    except KeyboardInterrupt:
        print(f"interrupted: the same command resumes from {unfinished}", file=sys.stderr)
        sys.exit(130)
    write_samples(out, samples)
    confidence, arrays = float(samples.confidence.mean()), out.with_suffix(".npz")
    print(f"{count} samples of mean confidence {confidence:.3f} are in {out} and {arrays}.")
    return {"samples": count, "confidence": confidence, "picture": out, "arrays": arrays}
