"""Tables whose cells are text, and how they are written: as Markdown, LaTeX and HTML, captions above, notes below."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

ABSENT = "—"  # in a cell
SUFFIXES = ("md", "tex", "html")
PAGE = '<!doctype html>\n<meta charset="utf-8">\n'  # before a table that is a file of its own
WORDS = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
IN_LATEX = {"±": r"$\pm$", "†": r"$^\dagger$", " | ": r" $\vert$ ", "—": "---"}

# Measures, as shares of one, and their headings; the arrow says which way is better.
HEADINGS = {
    "auroc": "AUROC ↑",
    "gain": "AUROC gain over standard ↑",
    "fpr95_id_positive": "FPR at 95 % TPR ↓",
    "fpr95_ood_positive": "FPR at 95 % TPR, OOD positive ↓",
    "detection_error": "detection error ↓",
    "aupr_in": "AUPR in ↑",
    "aupr_out": "AUPR out ↑",
    "accuracy": "accuracy ↑",
    "calibration_error": "calibration error ↓",
    "harmonic_mean": "harmonic mean ↑",
    "sample_confidence": "confidence on own samples ↓",
}


@dataclass(frozen=True)
class Table:
    """A table whose cells are text. A target's tables are called `<target>` or `<target>-<name>`."""

    caption: str  # follows the target's title
    cells: pd.DataFrame
    notes: Sequence[str] = ()
    name: str = ""


def format_percent(mean: float, sd: float = float("nan"), signed: bool = False, digits: int = 1) -> str:
    """A share and its standard deviation in per cent, as `86.9 ± 2.3`; empty where the mean is NaN."""
    if pd.isna(mean):
        return ""
    text = f"{100 * mean:{'+' * signed}.{digits}f}"
    return text if pd.isna(sd) else f"{text} ± {100 * sd:.{digits}f}"


def format_number(value: float, form: str) -> str:
    """A number as text; empty where it is NaN."""
    return "" if pd.isna(value) else format(value, form)


def format_seeds(seeds: int) -> str:
    """What a cell with a mean over seeds holds."""
    return f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"


def pivot_cells(rows: pd.DataFrame, place: Sequence[str], column: str) -> pd.DataFrame:
    """Lay out the texts in `cell`: a row for each place, a column for each value of `column`, both as they come."""
    order = list(dict.fromkeys(rows[list(place)].itertuples(index=False, name=None)))
    wide = rows.pivot(index=list(place), columns=column, values="cell").reindex(order)
    return wide[list(dict.fromkeys(rows[column]))].fillna("").rename_axis(columns=None).reset_index()


def to_markdown(table: Table) -> str:
    """Write a table as Markdown."""
    cells = table.cells.map(escape_markdown).rename(columns=escape_markdown)
    notes = "".join(f"- {escape_markdown(note)}\n" for note in table.notes)
    return f"{escape_markdown(table.caption)}\n\n{cells.to_markdown(index=False, disable_numparse=True)}\n\n{notes}"


def escape_markdown(text: str) -> str:
    """Escape in text what Markdown would take for a column's end or for a tag of HTML."""
    return re.sub(r"\||<(?=[A-Za-z/!?])", r"\\\g<0>", str(text))


def to_latex(table: Table) -> str:
    """Write a table as LaTeX that breaks over pages, for a document that uses the packages booktabs and longtable.

    LaTeX numbers tables itself, so the number before a caption is left out.
    """
    caption = escape_latex(re.sub(r"^Table \d+: ", "", table.caption))
    text = table.cells.to_latex(index=False, escape=True, longtable=True, caption=caption, label=f"tab:{table.name}")
    text += "".join(f"\\par\\noindent {escape_latex(note)}\n" for note in table.notes)
    for sign, command in IN_LATEX.items():
        text = text.replace(sign, command)
    return re.sub(r"(?<=\s)-(?=\d)", "$-$", text)


def escape_latex(text: str) -> str:
    """Escape the characters that mean something to LaTeX."""
    return re.sub(r"[&%$#_{}\\^~]", lambda found: WORDS.get(found[0], f"\\{found[0]}"), text)


def to_html(table: Table) -> str:
    """Write a table as a part of an HTML page."""
    notes = "".join(f"<li>{escape(note)}</li>\n" for note in table.notes)
    below = f'<ul class="notes">\n{notes}</ul>\n' if notes else ""
    return f'<div class="wide"><p>{escape(table.caption)}</p>\n{html_cells(table.cells)}\n</div>\n{below}'


def html_cells(cells: pd.DataFrame) -> str:
    """Write the cells of a table as HTML, with headings that say that they head columns."""
    return str(cells.to_html(index=False, border=0)).replace("<th>", '<th scope="col">')


def strip_page(page: str) -> str:
    """The part of an HTML page in a file that `render_tables` of fig.report.targets made."""
    return page.removeprefix(PAGE)
