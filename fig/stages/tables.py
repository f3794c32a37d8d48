"""Rule tables: the metrics of all discriminators of a run in one file, and the tables made of them."""

from pathlib import Path
from typing import Annotated

import typer

from fig.files import replacing
from fig.report import forms
from fig.report.records import all_metrics
from fig.report.tables import comparison, html, markdown
from fig.runtime import timing
from fig.runtime.command import command_line
from fig.stages.options import Folders


def write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def as_page(body: str) -> str:
    """A piece of HTML as a page of its own."""
    return f'<!doctype html>\n<meta charset="utf-8">\n{body}\n'


def tables(
    discriminator: Folders,
    output: Annotated[Path, typer.Option(help="The run's folder, results/<run>.")],
) -> None:
    """Gather metrics.csv; make the comparison and the forms of the paper's tables as CSV, Markdown and HTML.

    Example: python -m fig.stages.tables --discriminator results/demo/discriminators/digits/resnet18/fig/0
    --output results/demo
    """
    clock = timing.begin("tables")
    metrics = all_metrics(discriminator)
    compared = comparison(metrics)
    write(output / "metrics.csv", metrics.to_csv(index=False))
    write(output / "tables" / "comparison.csv", compared.to_csv(index=False))
    write(output / "tables" / "comparison.md", markdown(compared))
    write(output / "tables" / "comparison.html", as_page(html(compared)))
    for name, (title, fill) in forms.FORMS.items():
        form = fill(metrics)
        write(output / "tables" / f"{name}.csv", form.to_csv(index=False))
        write(output / "tables" / f"{name}.md", forms.markdown(title, form))
        write(output / "tables" / f"{name}.html", as_page(forms.html(title, form)))
    timing.write(clock, output / "tables" / "timing.json")


if __name__ == "__main__":
    command_line(__spec__.name)
