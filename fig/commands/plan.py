"""fig plan: what a study costs and what is left to do, before anything runs."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fig.commands.answers import Answer
from fig.commands.options import ConfigFile, Count


def plan(
    config: ConfigFile,
    /,
    *more: ConfigFile,
    workers: Annotated[Count, Parameter(help="Jobs that run side by side, for the time it takes.")] = 1,
    device: Annotated[str, Parameter(help="GPU or CPU, by a part of its name, such as A100.")] = "",
) -> Answer:
    """Print the jobs, hours and disk that a study needs, and what is done or stale; run nothing.

    An output is stale if its job would now write another record next to it; Snakemake's own memory does not count.

    Hours are a worker's on a device (a GPU where the configuration gives workers one): by default the one of the
    trainings in results/, else this machine's, else the slowest with a known rate. These trainings correct the rates of
    fig/rates.py.

    Example:
        fig plan config/paper.yaml --device A100 --workers 64

    """
    from rich.console import Console
    from rich.table import Table

    from fig import costs
    from fig.commands.jobs import list_jobs
    from fig.commands.stale import describe_stale, find_stale, print_stale
    from fig.rates import choose_device, kind_of
    from fig.runtime.cluster import name_device
    from fig.study import list_splits, read_config

    study = read_config([config, *more])
    kind = kind_of(study.resources.training)
    cards = Path("results").glob("*/discriminators/*/*/*/*/discriminator.json")
    name_here = partial(name_device, study.resources.training.gpus_per_worker)  # slow: it imports torch
    chosen = choose_device(kind, device, (path.parent for path in cards), name_here)
    shown = costs.plan_study(study, Path("results") / study.run / "discriminators", chosen)
    table = Table("rule", "jobs", "done", f"{kind.upper()}-hours left", "GB")
    for rule, row in shown.items():
        table.add_row(rule, str(row.jobs), str(row.done), f"{row.hours:,.1f}", f"{row.gigabytes:,.1f}")
    total = sum(row.hours for row in shown.values())
    console = Console(width=100)
    console.print(table)
    if any(not Path(f"{split}.json").exists() for split in list_splits(study)):
        console.print(costs.UNPREPARED)
    console.print(f"In all {total:,.1f} {kind.upper()}-hours, {total / workers:,.1f} hours with {workers} at a time.")
    console.print(f"Images of 32 x 32 pixels that a worker trains on in a second ({chosen.name}):")
    rates = {load: chosen.rate(load) for load in costs.list_loads(study)}
    for load, rate in rates.items():
        print(f"  {load.network}, width {load.width:g}, {load.precision}: {rate.images:,.0f} ({rate.source})")
    stale = find_stale(list_jobs([config, *more])) if Path("results", study.run).exists() else {}
    print_stale(stale)
    return {
        "rules": {rule: asdict(row) for rule, row in shown.items()},
        "device": chosen.name,
        "hours": total,
        "rates": [{**load._asdict(), "images": rate.images, "source": rate.source} for load, rate in rates.items()],
        "stale": describe_stale(stale),
    }
