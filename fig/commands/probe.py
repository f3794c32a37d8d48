"""fig probe: how confident discriminators are on their own low-entropy samples."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fig.commands.answers import Answer
from fig.commands.options import (
    Batch,
    Count,
    Folder,
    Seed,
    Settings,
    TrustFactory,
    check_folders,
    is_trusted,
    parse_json,
)


def probe(
    *discriminators: Folder,
    out: Annotated[Path, Parameter(help="JSON to be written; the picture goes next to it, as .png.")] = Path(
        "probe.json"
    ),
    count: Annotated[Count, Parameter(help="Chains for each discriminator.")] = 256,
    steps: Annotated[Count, Parameter(help="Steps of each chain.")] = 100,
    batch: Batch = 128,
    seed: Seed = 0,
    settings: Settings = "{}",
    trust_factory: TrustFactory = False,
) -> Answer:
    r"""Report how vulnerable discriminators are: their confidence on their own low-entropy samples.

    Chains take all their steps; where the sampler's rule would have stopped each of them is reported too. The number
    that fine-tuning by FIG lowers is `confidence`, the mean where the rule stops.

    Example:
        fig probe results/demo/discriminators/digits/resnet18/{standard,fig}/0 \
          --out probe.json

    """
    check_folders(discriminators, "probe")
    import json
    from dataclasses import asdict

    from fig import parallel
    from fig.discriminator import load
    from fig.files import replacing
    from fig.report.probe import draw_probes
    from fig.sampling import run_probe
    from fig.settings import SamplerSettings, read_settings

    chosen = read_settings(SamplerSettings, parse_json(settings, "--settings"), "--settings")
    reports = {}
    for folder in discriminators:
        loaded = load(folder, is_trusted(folder, trust_factory)).to(parallel.own_device())
        report = run_probe(loaded.network, count, loaded.shape, steps, chosen, seed, batch)
        reports["/".join(folder.resolve().parts[-4:])] = report
        what = f"after {report.steps:.1f} steps; {100 * report.share_confident:.0f} % of the samples above 0.9."
        print(f"{folder}: confidence {report.confidence:.3f} on its own samples {what}")
    found = {name: asdict(report) for name, report in reports.items()}
    answer: Answer = {"settings": asdict(chosen), "seed": seed, "discriminators": found}
    with replacing(out) as partial:
        partial.write_text(json.dumps(answer) + "\n")
    with replacing(out.with_suffix(".png")) as partial:
        draw_probes(reports).savefig(partial, format="png")
    print(f"The report is in {out}, its picture in {out.with_suffix('.png')}.")
    return answer
