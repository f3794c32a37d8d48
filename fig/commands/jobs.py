"""The jobs of a study as Snakemake plans them, without running any."""

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fig.commands.run import workflow_root
from fig.runtime.job import Job, parse_command
from fig.study import read_yaml


@dataclass(frozen=True)
class PlannedJob:
    """A job that Snakemake plans: its rule, its files, why Snakemake would run it, and its command."""

    rule: str
    input: tuple[str, ...]
    output: tuple[str, ...]
    reason: str
    command: str

    @cached_property
    def job(self) -> Job:
        """What its stage is asked to do, by the stage's own parser."""
        return parse_command(self.command)


class Announced(logging.Handler):
    """Keeps the jobs that Snakemake announces."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[PlannedJob] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is an announcement of a job with a command."""
        event: Any = record  # Snakemake gives a record more attributes
        if getattr(event, "event", "") == "job_info" and event.shellcmd:
            files = tuple(event.input), tuple(event.output)
            self.jobs.append(PlannedJob(event.rule_name, *files, event.reason or "", event.shellcmd))


@contextmanager
def silence() -> Iterator[None]:
    """Keep what Snakemake prints, and show it only where it fails."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            yield
    except (Exception, SystemExit) as error:
        raise RuntimeError(f"Snakemake cannot plan the study: {error or printed.getvalue()}") from error


def walk_jobs(configs: Sequence[Path], executor: str, everything: bool) -> list[PlannedJob]:
    """The jobs that an executor of Snakemake's that runs none (dryrun, touch) goes through.

    `everything`: all jobs of the study, not only those that Snakemake would run.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.logging import logger
    from snakemake.settings.types import (
        ConfigSettings,
        DAGSettings,
        ExecutionSettings,
        OutputSettings,
        ResourceSettings,
    )

    for path in configs:
        read_yaml(path)  # before Snakemake does, less strictly
    announced = Announced()
    with silence(), SnakemakeApi(OutputSettings(printshellcmds=True, dryrun=executor == "dryrun")) as snakemake:
        workflow = snakemake.workflow(
            ResourceSettings(cores=1),
            ConfigSettings(configfiles=list(configs)),
            snakefile=workflow_root() / "Snakefile",
        )
        dag = workflow.dag(DAGSettings(forceall=everything))
        logger.addHandler(announced)
        try:
            dag.execute_workflow(executor=executor, execution_settings=ExecutionSettings(keep_incomplete=True))
        finally:
            logger.removeHandler(announced)
    return announced.jobs


def list_jobs(configs: Sequence[Path]) -> list[PlannedJob]:
    """Every job of a study, whether it was done or not."""
    return walk_jobs(configs, "dryrun", everything=True)


def list_jobs_to_run(configs: Sequence[Path]) -> list[PlannedJob]:
    """The jobs that Snakemake would run now."""
    return walk_jobs(configs, "dryrun", everything=False)


def remember_outputs(configs: Sequence[Path]) -> None:
    """Give Snakemake its memory of a study back: all outputs that are there count as made just now, as things are."""
    walk_jobs(configs, "touch", everything=True)
