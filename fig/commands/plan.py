"""fig plan: what a study costs and what of it is left to do, before anything runs."""

from pathlib import Path
from typing import Annotated

import typer


def plan(
    configfile: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="The study's configuration.")],
    workers: Annotated[int, typer.Option(min=1, help="Jobs that run side by side, for the time it takes.")] = 1,
) -> None:
    """Print jobs, hours and disk by stage, what is done, and what is stale; nothing is run.

    What is stale is told by what is said beside each output, whatever Snakemake remembers.

    Hours are a worker's (a GPU's where the configuration gives workers one), by the rate of the trainings in results/
    or, where there are none, by one that is assumed.

    Example: fig plan config/paper.yaml --workers 64
    """
    from rich.console import Console
    from rich.table import Table

    from fig import costs
    from fig.commands.jobs import jobs_of
    from fig.commands.stale import print_stale, stale
    from fig.configuration import discriminators, read, splits, teachers

    study = read(configfile)
    run = Path("results") / study["run"] / "discriminators"
    device = "gpu" if study["resources"].get("training", {}).get("gpus_per_worker") else "cpu"
    cards = Path("results").glob("*/discriminators/*/*/*/*/discriminator.json")
    rate = costs.measured((path.parent for path in cards), device) or costs.ASSUMED[device]
    rows: dict[str, list[float]] = {}  # stage -> jobs, done, hours left, gigabytes
    for found in (*discriminators(study), *teachers(study)):
        folder = run / found.path
        width = study["networks"][found.network].get("width", 1.0)
        weights = costs.WEIGHTS_MB.get(found.network, 45) * width**2 / 1000
        made = (folder / "discriminator.json").exists()
        stage = costs.stage_of(study, found.variant, found.network)
        parts = [(stage, made, 0.0 if stage == "adopt" else costs.training_work(study, found), weights)]
        if found.detectors:
            parts += [("evaluate", (folder / "metrics.csv").exists(), costs.evaluation_work(study, found), 0.001)]
        for stage, done, work, gigabytes in parts:
            row = rows.setdefault(stage, [0, 0, 0.0, 0.0])
            row[0] += 1
            row[1] += done
            row[2] += 0 if done else work / rate.units / 3600
            row[3] += gigabytes
    table = Table("stage", *(f"{name}" for name in ("jobs", "done", f"{device.upper()}-hours left", "GB")))
    for stage, (jobs, done, hours, gigabytes) in rows.items():
        table.add_row(stage, str(jobs), str(done), f"{hours:,.1f}", f"{gigabytes:,.1f}")
    total = sum(row[2] for row in rows.values())
    console = Console(width=100)
    console.print(table)
    if any(not Path(f"{split}.json").exists() for split in splits(study)):
        console.print(costs.UNPREPARED)
    console.print(f"In all {total:,.1f} {device.upper()}-hours, {total / workers:,.1f} hours with {workers} at a time.")
    console.print(f"A worker does {rate.units:,.0f} ResNet18 images of 32 x 32 pixels a second ({rate.source}).")
    if Path("results", study["run"]).exists():
        print_stale(stale(jobs_of(configfile)))
