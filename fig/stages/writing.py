"""How stages write texts, tables and pictures: whole or not at all."""

from pathlib import Path
from typing import TYPE_CHECKING

from fig.files import replacing
from fig.report.render import Table, as_page, html, latex, markdown

if TYPE_CHECKING:  # a table needs no matplotlib
    from matplotlib.figure import Figure


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_table(folder: Path, csv: str, table: Table) -> None:
    """Write a table as <name>.csv, with these contents, and for people as .md, .tex and .html."""
    write_text(folder / f"{table.name}.csv", csv)
    write_text(folder / f"{table.name}.md", markdown(table))
    write_text(folder / f"{table.name}.tex", latex(table))
    write_text(folder / f"{table.name}.html", as_page(html(table)))


def write_figure(path: Path, figure: "Figure") -> None:
    """Write a figure as PNG."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png")
