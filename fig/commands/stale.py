"""Find the outputs of a study that are out of date, by their records and not by Snakemake's memory."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tqdm import tqdm

from fig.commands.jobs import PlannedJob
from fig.runtime.record import read_record

UNKNOWN = "no record next to it says what it was made of"


def stale_reason(planned: PlannedJob) -> str:
    """Why the outputs of a job are not what it would make now; empty where they are, or where some are missing."""
    path = planned.job.record_path()
    if path is None or not all(Path(output).exists() for output in planned.output):
        return ""
    record = read_record(path)
    if record is None:
        return UNKNOWN
    differences = list(record.origin.differences(planned.job.origin()))
    return f"{' and '.join(differences)} changed" if differences else ""


def find_stale(jobs: Iterable[PlannedJob]) -> dict[PlannedJob, str]:
    """The jobs whose outputs are out of date, each with the reason; what follows from them is not among them."""
    shown = tqdm(list(jobs), desc="records", unit="job", leave=False, delay=2, disable=None)
    return {job: reason for job in shown if (reason := stale_reason(job))}


def describe_stale(found: Mapping[PlannedJob, str]) -> list[dict[str, str]]:
    """Describe the jobs whose outputs are out of date: rule, first output and reason of each, for programs."""
    return [{"rule": job.rule, "output": job.output[0], "reason": reason} for job, reason in found.items()]


def print_stale(found: Mapping[PlannedJob, str]) -> None:
    """Print a line for each job whose outputs are out of date, and one for all of which that is not known."""
    for job, reason in found.items():
        if reason != UNKNOWN:
            print(f"stale: {job.rule} {job.output[0]}: {reason}")
    if unknown := sum(reason == UNKNOWN for reason in found.values()):
        print(f"unknown: of {unknown} outputs {UNKNOWN}")
