"""fig recover: give Snakemake its memory of a study back, from what is said beside each output."""

from pathlib import Path
from typing import Annotated

import typer


def recover(
    configfile: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="The study's configuration.")],
) -> None:
    """Prepare a study for Snakemake after its results were copied without their times, or .snakemake was lost.

    What is up to date counts as just made. Of what is stale the timing file is removed, and the report with it, so that
    Snakemake, run as always, makes what is stale and what follows from it, and nothing else.

    Example: fig recover config/paper.yaml && snakemake --profile slurm
    """
    from fig.commands.jobs import jobs_of, remember
    from fig.commands.stale import UNKNOWN, print_stale, stale

    jobs = jobs_of(configfile)
    found = stale(jobs)
    print_stale(found)
    records = [job.record for job, why in found.items() if why != UNKNOWN]
    pages = [Path(path) for job in jobs if job.rule == "report" for path in job.output if path.endswith(".html")]
    for path in records + pages * bool(records):  # Snakemake makes a missing file where a missing report needs it
        path.unlink(missing_ok=True)
    remember(configfile)
