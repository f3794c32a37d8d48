"""fig probe: how confident discriminators are on their own low-entropy samples."""

from pathlib import Path
from typing import Annotated

import typer

from fig.commands.options import Batch, Seed, Settings


def probe(
    discriminators: Annotated[
        list[Path], typer.Argument(exists=True, file_okay=False, help="Folders of discriminators, to be compared.")
    ],
    out: Annotated[Path, typer.Option(help="JSON to be written; the picture goes beside it, as .png.")] = Path(
        "probe.json"
    ),
    count: Annotated[int, typer.Option(min=1, help="Chains for each discriminator.")] = 256,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each chain.")] = 100,
    batch: Batch = 128,
    seed: Seed = 0,
    settings: Settings = "{}",
) -> None:
    """Report how vulnerable discriminators are: their confidence on their own low-entropy samples.

    Chains take all their steps; where the sampler's rule would have stopped each of them is reported too. The number
    that fine-tuning by FIG drives down is `confidence`, the mean where the rule stops.

    Example: fig probe results/demo/discriminators/digits/resnet18/{standard,fig}/0 --out probe.json
    """
    import json
    from dataclasses import asdict

    from fig import parallel
    from fig.discriminator import load
    from fig.files import replacing
    from fig.report.figures import probes
    from fig.sampler import SamplerSettings
    from fig.sampling import probed
    from fig.settings import settings_of
    from fig.stages.options import parsed

    chosen = settings_of(SamplerSettings, parsed(settings, "--settings"), "--settings")
    reports = {}
    for folder in discriminators:
        loaded = load(folder).to(parallel.device())
        report = probed(loaded.network, count, loaded.shape, steps, chosen, seed, batch)
        reports["/".join(folder.resolve().parts[-4:])] = report
        told = f"after {report.steps:.1f} steps; {100 * report.share_confident:.0f} % of the samples above 0.9"
        print(f"{folder}: confidence {report.confidence:.3f} on its own samples {told}")
    with replacing(out) as partial:
        texts = {name: asdict(report) for name, report in reports.items()}
        partial.write_text(json.dumps({"settings": asdict(chosen), "seed": seed, "discriminators": texts}) + "\n")
    with replacing(out.with_suffix(".png")) as partial:
        probes(reports).savefig(partial, format="png")
    print(f"the report is in {out}, its picture in {out.with_suffix('.png')}")
