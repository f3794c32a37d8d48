"""Rule report: the page of a run, and a page for each of its discriminators."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from fig.data.arrays import description_of
from fig.report import records
from fig.report.captions import CAPTIONS
from fig.report.markup import TEMPLATES
from fig.report.page import Run, page
from fig.report.records import key_of
from fig.report.render import part_of
from fig.report.single import Made, address, single_page
from fig.runtime.command import command_line
from fig.runtime.timing import begin, write
from fig.stages.options import Folders
from fig.stages.writing import write_text

WHOLE, PARTIAL = "report.html", "partial.html"  # the page of a run, and of one that may lack something
FILES = (*TEMPLATES, *CAPTIONS)  # that are code to this stage


def timings_of(folder: Path) -> list[Path]:
    """The timing files of a discriminator's training and evaluation."""
    return sorted(folder.glob("timing.*.json"), reverse=True)


def opened(folder: Path, run: Run, metrics: pd.DataFrame) -> Made:
    """What a discriminator's folder holds."""
    key = key_of(folder)
    scores = {detector: sets for (_, detector), sets in records.scores([folder]).items()}
    samples = records.arrays(folder / "samples.npz")
    times = [json.loads(path.read_text()) for path in timings_of(folder)]
    return Made(key, run.cards[key], run.histories[key], metrics, scores, samples, times)


def write_pages(output: Path, home: str, folders: Sequence[Path], run: Run, classes: dict[str, list[str]]) -> None:
    """Write a page for each discriminator, with a way back to the run's page `home`, and remove those of others."""
    if output.exists():
        shutil.rmtree(output)
    own = dict(iter(run.metrics.groupby(["id_dataset", "network", "variant", "seed"])))
    for folder in folders:
        key = key_of(folder)
        made = opened(folder, run, own[key])
        text = single_page(made, run.name, home, run.configuration, list(run.cards), classes.get(key[0], []))
        write_text(output / address(key), text)


def report(
    discriminator: Folders,
    run: Annotated[Path, typer.Option(exists=True, file_okay=False, help="The run's folder, results/<run>.")],
    data: Annotated[list[Path], typer.Option(exists=True, help="The JSON of a prepared split; repeatable.")],
    timing: Annotated[list[Path], typer.Option(exists=True, help="A timing file of any stage; repeatable.")],
    table: Annotated[list[Path], typer.Option(exists=True, help="A table as HTML; repeatable.")] = [],  # noqa: B006
    figure: Annotated[list[Path], typer.Option(exists=True, help="A picture as PNG; repeatable.")] = [],  # noqa: B006
    gap: Annotated[list[str], typer.Option(help="A discriminator that is missing, and why; repeatable.")] = [],  # noqa: B006
    configuration: Annotated[str, typer.Option(help="What follows --configfile when Snakemake is run.")] = "FILE",
    partial: Annotated[bool, typer.Option("--partial", help="Something may be missing.")] = False,
) -> None:
    """Write the page of a run, <run>/report.html, and those of its discriminators, below <run>/pages.

    A page that is not Snakemake's own (--partial) is <run>/partial.html, and there is no report.html.

    Example: python -m fig.stages.report --discriminator results/demo/discriminators/digits/resnet18/fig/0
    --run results/demo --data data/32/digits/test.json --timing results/demo/tables/timing.json
    """
    clock = begin("report", *FILES)
    told = {path.parent.name: description_of(path) for path in data}
    made = Run(
        run.name,
        records.cards(discriminator),
        records.all_metrics(discriminator),
        records.histories(discriminator),
        records.timings([*timing, *(path for folder in discriminator for path in timings_of(folder))]),
        {name: description.about for name, description in told.items()},
        {path.stem: part_of(path.read_text(encoding="utf-8")) for path in table},
        {path.stem: path.read_bytes() for path in figure},
        configuration,
        gap,
    )
    home, other = (PARTIAL, WHOLE) if partial else (WHOLE, PARTIAL)
    (run / other).unlink(missing_ok=True)
    write_text(run / home, page(made))
    write_pages(run / "pages", home, discriminator, made, {name: list(each.classes) for name, each in told.items()})
    write(clock, run / "report.timing.json")


if __name__ == "__main__":
    command_line(__spec__.name)
