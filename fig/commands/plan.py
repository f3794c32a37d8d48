"""fig plan: what a study costs and what of it is left to do, before anything runs."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fig.commands.options import ConfigFile, Count


def plan(
    config: ConfigFile,
    /,
    *more: ConfigFile,
    workers: Annotated[Count, Parameter(help="Jobs that run side by side, for the time it takes.")] = 1,
) -> None:
    """Print jobs, hours and disk by rule, what is done, and what is stale; nothing runs.

    Stale is what differs from the record beside it, whatever Snakemake remembers.

    Hours are a worker's (a GPU's where the configuration gives workers one), by the rate of the trainings in results/
    or, where there are none, by an assumed one.

    Example: fig plan config/paper.yaml --workers 64
    """
    from rich.console import Console
    from rich.table import Table

    from fig import costs
    from fig.commands.jobs import list_jobs
    from fig.commands.stale import find_stale, print_stale
    from fig.study import list_splits, read_config

    study = read_config([config, *more])
    device = costs.device_of(study)
    cards = Path("results").glob("*/discriminators/*/*/*/*/discriminator.json")
    rate = costs.measured((path.parent for path in cards), device) or costs.ASSUMED[device]
    shown = costs.plan_study(study, Path("results") / study.run / "discriminators", rate)
    table = Table("rule", "jobs", "done", f"{device.upper()}-hours left", "GB")
    for rule, row in shown.items():
        table.add_row(rule, str(row.jobs), str(row.done), f"{row.hours:,.1f}", f"{row.gigabytes:,.1f}")
    total = sum(row.hours for row in shown.values())
    console = Console(width=100)
    console.print(table)
    if any(not Path(f"{split}.json").exists() for split in list_splits(study)):
        console.print(costs.UNPREPARED)
    console.print(f"In all {total:,.1f} {device.upper()}-hours, {total / workers:,.1f} hours with {workers} at a time.")
    console.print(f"A worker does {rate.units:,.0f} ResNet18 images of 32 x 32 pixels a second ({rate.source}).")
    if Path("results", study.run).exists():
        print_stale(find_stale(list_jobs([config, *more])))
