"""fig recover: restore Snakemake's memory of a study from the records next to the outputs."""

from pathlib import Path

from fig.commands.answers import Answer
from fig.commands.options import ConfigFile


def recover(config: ConfigFile, /, *more: ConfigFile) -> Answer:
    """Restore Snakemake's memory of a study after .snakemake was lost or results were copied.

    Outputs that are up to date count as just made. The records of stale outputs are removed, and the report with them.
    The next run of Snakemake then makes what is stale and what follows from it, and nothing else.

    Example:
        fig recover config/paper.yaml && snakemake --profile slurm

    """
    from fig.commands.jobs import list_jobs, remember_outputs
    from fig.commands.stale import UNKNOWN, describe_stale, find_stale, print_stale

    jobs = list_jobs([config, *more])
    found = find_stale(jobs)
    print_stale(found)
    stale = (job.job.record_path() for job, reason in found.items() if reason != UNKNOWN)
    records = [path for path in stale if path is not None]
    pages = [Path(path) for job in jobs if job.rule == "report" for path in job.output if path.endswith(".html")]
    for path in records + pages * bool(records):  # Snakemake makes a missing file where a missing report needs it
        path.unlink(missing_ok=True)
    remember_outputs([config, *more])
    return {"stale": describe_stale(found)}
