"""How stages write texts, tables and pictures: whole or not at all."""

from collections.abc import Sequence
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


def write_tables(path: Path, csv: str, tables: Sequence[Table]) -> None:
    """Write tables as <path>.csv, with these contents, and for people, one below the other, as .md, .tex and .html."""
    write_text(Path(f"{path}.csv"), csv)
    write_text(Path(f"{path}.md"), "\n".join(map(markdown, tables)))
    write_text(Path(f"{path}.tex"), "\n".join(map(latex, tables)))
    write_text(Path(f"{path}.html"), as_page("\n".join(map(html, tables))))


def write_table(folder: Path, csv: str, table: Table) -> None:
    """Write a table, under its name, as .csv, with these contents, and for people as .md, .tex and .html."""
    write_tables(folder / table.name, csv, [table])


def write_figure(path: Path, figure: "Figure") -> None:
    """Write a figure as PNG."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png")
