"""Rule report: the page of a run, one HTML file with everything in it."""

from pathlib import Path
from typing import Annotated

import typer

from fig.data.arrays import description_of
from fig.files import replacing
from fig.report import records
from fig.report.page import PICTURES, TEMPLATE, page
from fig.report.render import part_of
from fig.runtime.command import command_line
from fig.runtime.timing import begin, write
from fig.stages.options import Folders


def report(
    discriminator: Folders,
    run: Annotated[Path, typer.Option(exists=True, file_okay=False, help="The run's folder, results/<run>.")],
    data: Annotated[list[Path], typer.Option(exists=True, help="The JSON of a prepared split; repeatable.")],
    timing: Annotated[list[Path], typer.Option(exists=True, help="A timing file of any stage; repeatable.")],
    table: Annotated[list[Path], typer.Option(exists=True, help="A table as HTML; repeatable.")] = [],  # noqa: B006
    gap: Annotated[list[str], typer.Option(help="A discriminator that is missing, and why; repeatable.")] = [],  # noqa: B006
) -> None:
    """Write the page of a run, <run>/report.html.

    Example: python -m fig.stages.report --discriminator results/demo/discriminators/digits/resnet18/fig/0
    --run results/demo --data data/32/digits/test.json --timing results/demo/tables/timing.json
    """
    clock = begin("report", TEMPLATE)
    text = page(
        run.name,
        records.cards(discriminator),
        records.all_metrics(discriminator),
        records.histories(discriminator),
        records.timings([*timing, *(path for f in discriminator for path in sorted(f.glob("timing.*.json")))]),
        {name: (run / "figures" / f"{name}.png").read_bytes() for name in PICTURES},
        {path.parent.name: description_of(path).about for path in data},
        {path.stem: part_of(path.read_text(encoding="utf-8")) for path in table},
        gap,
    )
    with replacing(run / "report.html") as partial:
        partial.write_text(text, encoding="utf-8")
    write(clock, run / "report.timing.json")


if __name__ == "__main__":
    command_line(__spec__.name)
