"""The jobs of a study as Snakemake plans them, without running any."""

import io
import logging
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """One job: its rule, its files, why Snakemake would run it, and its command."""

    rule: str
    input: tuple[str, ...]
    output: tuple[str, ...]
    reason: str
    words: tuple[str, ...]  # of its command line, after the module's name

    @property
    def record(self) -> Path | None:
        """The file beside its outputs that says what they were made of; None for a download."""
        return next(
            (Path(path) for path in self.output if path.endswith(".json") and "timing" in Path(path).name), None
        )


def job_of(event: Any) -> Job:
    """A job from Snakemake's announcement of it."""
    words = shlex.split(event.shellcmd)
    options = words[words.index("-m") + 2 : words.index("2>")]
    return Job(event.rule_name, tuple(event.input), tuple(event.output), event.reason or "", tuple(options))


class Announced(logging.Handler):
    """Keeps the jobs that Snakemake announces."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Job] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what is an announcement of a job with a command."""
        if getattr(record, "event", "") == "job_info" and record.shellcmd:
            self.jobs.append(job_of(record))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what Snakemake prints to oneself, unless it fails."""
    told = io.StringIO()
    try:
        with redirect_stdout(told), redirect_stderr(told):
            yield
    except (Exception, SystemExit) as error:
        raise RuntimeError(f"Snakemake cannot plan the study: {error or told.getvalue()}") from error


def executed(configfiles: Sequence[Path], executor: str, everything: bool) -> list[Job]:
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

    announced = Announced()
    with quiet(), SnakemakeApi(OutputSettings(printshellcmds=True, dryrun=executor == "dryrun")) as snakemake:
        workflow = snakemake.workflow(
            ResourceSettings(cores=1), ConfigSettings(configfiles=list(configfiles)), snakefile=Path("Snakefile")
        )
        dag = workflow.dag(DAGSettings(forceall=everything))
        logger.addHandler(announced)
        try:
            dag.execute_workflow(executor=executor, execution_settings=ExecutionSettings(keep_incomplete=True))
        finally:
            logger.removeHandler(announced)
    return announced.jobs


def jobs_of(configfiles: Sequence[Path]) -> list[Job]:
    """Every job of a study, whether it was done or not."""
    return executed(configfiles, "dryrun", everything=True)


def jobs_to_run(configfiles: Sequence[Path]) -> list[Job]:
    """The jobs that Snakemake would run now."""
    return executed(configfiles, "dryrun", everything=False)


def remember(configfiles: Sequence[Path]) -> None:
    """Give Snakemake its memory of a study back: all outputs that are there count as made just now, as things are."""
    executed(configfiles, "touch", everything=True)
