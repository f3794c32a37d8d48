"""fig report: tables, figures and page of what there is of a run, and what is missing."""

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fig.commands.answers import Answer
from fig.commands.options import ConfigFile


def report(
    config: ConfigFile,
    /,
    *more: ConfigFile,
    override: Annotated[
        tuple[str, ...],
        Parameter("--config", help="KEY=VALUE, the same as Snakemake's.", consume_multiple=True, negative=()),
    ] = (),
) -> Answer:
    """Build tables, figures and a page from the results so far, and name what is missing.

    The workflow builds report.html when all results exist. This command is for a run some of whose jobs failed, and
    its page is partial.html. The next run of Snakemake still makes tables, figures and report.html.

    Example:
        fig report config/paper.yaml

    """
    from fig.report.page import PARTIAL
    from fig.report.results import read_results, read_run
    from fig.report.targets import make_target
    from fig.runtime.locks import lock_beside, wait_for_lock
    from fig.stages.report import Report
    from fig.stages.support.pages import write_pages
    from fig.stages.support.writing import write_made, write_text
    from fig.study import list_splits, list_test_images, planned_targets, read_config, select_all, select_studies

    study = read_config([config, *more], override)
    run = Path("results") / study.run
    everything = select_all(study)
    results = read_run(run, everything.list_keys())
    if not results.folders:
        raise ValueError(f"no discriminator of {run} is evaluated yet: there is nothing to report")
    rows = planned_targets(study)
    page = Report(
        selection=everything,
        targets=tuple(row.name for row in rows),
        data=tuple(path for split in list_splits(study) if (path := Path(f"{split}.json")).exists()),
        configuration=shlex.join([*map(str, [config, *more]), *["--config"] * bool(override), *override]),
        folder=run,
    )
    with wait_for_lock(lock_beside(page.record_path()), str(run / PARTIAL)):
        with wait_for_lock(lock_beside(run / "metrics.record.json"), str(run / "metrics.csv")):
            write_text(run / "metrics.csv", results.metrics.to_csv(index=False))
        for row in rows:
            selection = select_studies(study, row)
            images = map(Path, list_test_images(study, row))
            made = make_target(row, read_results(run, selection, row, images), selection)
            with wait_for_lock(lock_beside(run / row.record), row.name):
                write_made(run, row, made)
        write_pages(page, partial=True)
        for record in [run / "metrics.record.json", *(run / row.record for row in rows)]:
            record.unlink(missing_ok=True)  # Snakemake makes a missing record where a missing report needs it
    shown, planned = len(results.folders), len(everything.list_keys())
    print(f"{run / PARTIAL} shows {shown} of {planned} discriminators.")
    return {"page": run / PARTIAL, "shown": shown, "discriminators": planned}
