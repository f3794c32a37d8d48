"""How stages write texts and tables: whole or not at all."""

from pathlib import Path

from fig.files import replacing
from fig.report.render import Table, as_page, html, latex, markdown


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
