"""Rule tables: the metrics of all discriminators of a run in one file, and the comparison of all of them."""

from pathlib import Path
from typing import Annotated

import typer

from fig.report.records import all_metrics
from fig.report.tables import comparison, tables_of
from fig.runtime import timing
from fig.runtime.command import command_line
from fig.stages.options import Folders
from fig.stages.writing import write_tables, write_text


def tables(
    discriminator: Folders,
    output: Annotated[Path, typer.Option(help="The run's folder, results/<run>.")],
) -> None:
    """Gather metrics.csv; make the comparison as CSV, Markdown, LaTeX and HTML.

    Example: python -m fig.stages.tables --discriminator results/demo/discriminators/digits/resnet18/fig/0
    --output results/demo
    """
    clock = timing.begin("tables")
    metrics = all_metrics(discriminator)
    compared = comparison(metrics)
    write_text(output / "metrics.csv", metrics.to_csv(index=False))
    write_tables(output / "tables" / "comparison", compared.to_csv(index=False), tables_of(compared))
    timing.write(clock, output / "tables" / "timing.json")


if __name__ == "__main__":
    command_line(__spec__.name)
