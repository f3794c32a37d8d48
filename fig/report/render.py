"""A table for people, as Markdown, LaTeX and HTML: a caption above it and notes below it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

PAGE = '<!doctype html>\n<meta charset="utf-8">\n'  # before a table that is a file of its own
WORDS = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
IN_LATEX = {"±": r"$\pm$", "†": r"$^\dagger$", " | ": r" $\vert$ ", "—": "---"}


@dataclass(frozen=True)
class Table:
    """A table whose cells are text."""

    name: str
    caption: str
    cells: pd.DataFrame
    notes: Sequence[str] = ()


def markdown(table: Table) -> str:
    """A table as Markdown."""
    cells = table.cells.map(for_markdown).rename(columns=for_markdown)
    notes = "".join(f"- {note}\n" for note in table.notes)
    return f"{table.caption}\n\n{cells.to_markdown(index=False, disable_numparse=True)}\n\n{notes}"


def for_markdown(text: str) -> str:
    """Text within a cell of a Markdown table."""
    return str(text).replace("|", r"\|")


def latex(table: Table) -> str:
    """A table as LaTeX that breaks over pages, for a document that uses the packages booktabs and longtable.

    LaTeX numbers tables itself, so the number before a caption is left out.
    """
    caption = in_latex(re.sub(r"^Table \d+: ", "", table.caption))
    text = table.cells.to_latex(index=False, escape=True, longtable=True, caption=caption, label=f"tab:{table.name}")
    text += "".join(f"\\par\\noindent {in_latex(note)}\n" for note in table.notes)
    for sign, command in IN_LATEX.items():
        text = text.replace(sign, command)
    return re.sub(r"(?<=\s)-(?=\d)", "$-$", text)


def in_latex(text: str) -> str:
    """Text with the characters escaped that mean something to LaTeX."""
    return re.sub(r"[&%$#_{}\\^~]", lambda found: WORDS.get(found[0], f"\\{found[0]}"), text)


def html(table: Table) -> str:
    """A table as a part of an HTML page."""
    notes = "".join(f"<li>{escape(note)}</li>\n" for note in table.notes)
    cells = table.cells.to_html(index=False, border=0)
    below = f'<ul class="notes">\n{notes}</ul>\n' if notes else ""
    return f'<div class="wide"><p>{escape(table.caption)}</p>\n{cells}\n</div>\n{below}'


def as_page(part: str) -> str:
    """A part of an HTML page as a page of its own."""
    return f"{PAGE}{part}"


def part_of(page: str) -> str:
    """The part of an HTML page that `as_page` made a page of its own."""
    return page.removeprefix(PAGE)
