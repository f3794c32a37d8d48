"""How the pages of a run are written."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from fig.report.page import build_pages
from fig.stages.report import Report
from fig.stages.support.writing import write_text
from fig.study.selection import Key
from fig.study.targets import TARGETS

WHOLE, PARTIAL = "report.html", "partial.html"  # the page of a run, and of one that may lack something


def records_of(job: Report, keys: list[Key]) -> list[Path]:
    """The records of what the pages show: of discriminators, teachers, splits and targets."""
    folders = [job.folder / "discriminators" / "/".join(map(str, key)) for key in keys]
    own = [path for folder in folders for path in sorted(folder.glob("*.record.json"), reverse=True)]
    splits = [path.with_suffix(".record.json") for path in job.data]
    targets = [job.folder / TARGETS[name].record for name in job.targets]
    return [path for path in (*splits, *own, *job.teachers, *targets) if path.exists()]


def write_pages(job: Report, missing: Mapping[Key, str], partial: bool) -> None:
    """Write the page of a run and those of its discriminators that are not missing; remove those of others.

    `partial`: the page is partial.html, and there is no report.html, so that Snakemake makes it.
    """
    keys = [key for key in job.selection.list_keys() if key not in missing]
    home, other = (PARTIAL, WHOLE) if partial else (WHOLE, PARTIAL)
    (job.folder / other).unlink(missing_ok=True)
    shutil.rmtree(job.folder / "pages", ignore_errors=True)
    pages = build_pages(
        job.folder,
        keys,
        missing,
        [TARGETS[name] for name in job.targets],
        job.data,
        records_of(job, keys),
        job.configuration,
        home,
    )
    for path, text in pages:
        write_text(job.folder / path, text)
