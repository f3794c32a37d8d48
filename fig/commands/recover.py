"""fig recover: restore Snakemake's memory of a study from the records next to the outputs."""

from pathlib import Path

from fig.commands.options import ConfigFile


def recover(config: ConfigFile, /, *more: ConfigFile) -> None:
    """Prepare a study for Snakemake after its results were copied without their times, or .snakemake was lost.

    What is up to date counts as just made. Of what is stale the record is removed, and the report with it, so that
    Snakemake, run as always, makes what is stale and what follows from it, and nothing else.

    Example: fig recover config/paper.yaml && snakemake --profile slurm
    """
    from fig.commands.jobs import list_jobs, remember_outputs
    from fig.commands.stale import UNKNOWN, find_stale, print_stale

    jobs = list_jobs([config, *more])
    found = find_stale(jobs)
    print_stale(found)
    stale = (job.job.record_path() for job, reason in found.items() if reason != UNKNOWN)
    records = [path for path in stale if path is not None]
    pages = [Path(path) for job in jobs if job.rule == "report" for path in job.output if path.endswith(".html")]
    for path in records + pages * bool(records):  # Snakemake makes a missing file where a missing report needs it
        path.unlink(missing_ok=True)
    remember_outputs([config, *more])
