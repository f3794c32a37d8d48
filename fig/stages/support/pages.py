"""How the pages of a run are written."""

from pathlib import Path

from fig.report.page import PARTIAL, WHOLE, build_pages
from fig.stages.report import Report
from fig.stages.support.writing import write_text
from fig.study.targets import TARGETS


def list_records(job: Report) -> list[Path]:
    """The records of what the pages show: of discriminators, those that they are made from, splits and targets."""
    keys = job.selection.list_keys()
    folders = [job.folder / "discriminators" / "/".join(map(str, key)) for key in keys]
    own = [path for folder in folders for path in sorted(folder.glob("*.record.json"), reverse=True)]
    splits = [path.with_suffix(".record.json") for path in job.data]
    targets = [job.folder / TARGETS[name].record for name in job.targets]
    return [path for path in (*splits, *own, *job.parents, *targets) if path.exists()]


def write_pages(job: Report, partial: bool) -> None:
    """Write the page of a run and those of its discriminators that are there, then remove those of others.

    `partial`: the page is partial.html, and there is no report.html, so that Snakemake makes it.
    """
    written = set()
    for path, text in build_pages(
        job.folder,
        job.selection.list_keys(),
        targets=[TARGETS[name] for name in job.targets],
        data=job.data,
        records=list_records(job),
        configuration=job.configuration,
        partial=partial,
    ):
        write_text(job.folder / path, text)
        written.add(job.folder / path)
    for other in {job.folder / WHOLE, job.folder / PARTIAL, *job.folder.glob("pages/**/*.html")} - written:
        other.unlink(missing_ok=True)
