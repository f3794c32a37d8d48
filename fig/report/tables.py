"""Tables whose cells are text, and how they are written: as Markdown, LaTeX and HTML, captions above, notes below."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape, unescape

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

TITLES = {"id_dataset": "ID data set", "ood_dataset": "OOD set"}  # of columns that people read

# What columns mean, by headings without arrows: unit and sentence. A heading that begins or ends with one has its own.
MEANINGS = {
    "AUROC": ("%", "Probability that an ID image scores higher than an OOD image; 50 is chance, 100 is perfect."),
    "AUROC gain": ("points", "AUROC less that of the variant under `over`, of the same seed."),
    "accuracy gain": ("points", "Accuracy less that of the variant under `over`, of the same seed."),
    "AUROC gain over standard": ("points", "AUROC less that of the standard discriminator of the same seed."),
    "FPR at 95 % TPR": ("%", "Share of OOD images accepted by the threshold that accepts 95 % of the ID images."),
    "FPR at 95 % TPR, OOD positive": (
        "%",
        "Share of ID images rejected where 95 % of the OOD images are.",
    ),
    "detection error": (
        "%",
        "Mean of ID images rejected and OOD images accepted, at the best threshold.",
    ),
    "AUPR in": ("%", "Average precision with ID images as the positive class; chance is the share of ID images."),
    "AUPR out": ("%", "Average precision with OOD images as the positive class; chance is the share of OOD images."),
    "accuracy": ("%", "Share of ID test images that are classified correctly."),
    "calibration error": ("%", "Mean distance between confidence and accuracy on ID test images; 0 is calibrated."),
    "harmonic mean": ("%", "Harmonic mean of AUROC and accuracy: a gain on OOD images must not cost accuracy."),
    "confidence on own samples": ("%", "Mean confidence in low-entropy samples, which show nothing: lower is better."),
    "ID data set": ("", "In-distribution images: the kind that the discriminator was trained on."),
    "OOD set": ("", "Out-of-distribution images, never seen in training, that the detector should reject."),
    "network": ("", "Architecture of the discriminator."),
    "variant": ("", "How the discriminator was trained: standard is before patching, fig is after it."),
    "detector": ("", "Gives every image a score; higher means more in-distribution."),
    "protocol": ("", "What chooses a detector's settings: oracle is each test OOD set, id-only is ID images alone."),
    "seeds": ("", "Trainings that the numbers are over, which differ in their random seed alone."),
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


def format_interval(low: float, high: float, digits: int = 1) -> str:
    """A confidence interval in points; empty where it is NaN."""
    return "" if pd.isna(low) else f"{format_points(low, digits)} to {format_points(high, digits)}"


def format_points(value: float, digits: int = 1) -> str:
    """A difference of shares in points of per cent; empty where it is NaN."""
    return "" if pd.isna(value) else f"{100 * value:+.{digits}f}"


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


def title_column(name: str) -> str:
    """The heading of a column that readers see."""
    return TITLES.get(name, name)


def explain_column(heading: str) -> tuple[str, str]:
    """Unit and meaning of a column by its heading, both empty where it explains itself.

    AUROC photos-c or near AUROC are the AUROC of some OOD sets.
    """
    plain = heading.rstrip(" ↑↓")
    fitting = [name for name in MEANINGS if plain == name or plain.startswith(f"{name} ") or plain.endswith(f" {name}")]
    return MEANINGS[max(fitting, key=len)] if fitting else ("", "")


def to_markdown(table: Table) -> str:
    """Write a table as Markdown."""
    cells = table.cells.rename(columns=title_column).map(escape_markdown).rename(columns=escape_markdown)
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
    cells = table.cells.rename(columns=title_column)
    text = cells.to_latex(index=False, escape=True, longtable=True, caption=caption, label=f"tab:{table.name}")
    text += "".join(f"\\par\\noindent {escape_latex(note)}\n" for note in table.notes)
    for sign, command in IN_LATEX.items():
        text = text.replace(sign, command)
    return re.sub(r"(?<=\s)-(?=\d)", "$-$", text)


def escape_latex(text: str) -> str:
    """Escape the characters that mean something to LaTeX."""
    return re.sub(r"[&%$#_{}\\^~]", lambda found: WORDS.get(found[0], f"\\{found[0]}"), text)


def to_html(table: Table) -> str:
    """Write a table as a part of an HTML page."""
    notes = "".join(f"<li>{mark_code(note)}</li>\n" for note in table.notes)
    below = f'<ul class="notes">\n{notes}</ul>\n' if notes else ""
    return f'<div class="wide"><p>{mark_code(table.caption)}</p>\n{html_cells(table.cells)}\n</div>\n{below}'


def mark_code(text: str) -> str:
    """Escape text for HTML; what is between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def html_cells(cells: pd.DataFrame) -> str:
    """Write the cells of a table as HTML, with headings that say what columns mean and in which unit they are."""
    text = cells.rename(columns=title_column).to_html(index=False, border=0)
    return re.sub("<th>(.*?)</th>", lambda found: html_heading(found[1]), text)


def html_heading(heading: str) -> str:
    """Write the heading of a column, which is escaped already, as HTML with its unit and, on hover, its meaning."""
    unit, meaning = explain_column(unescape(heading))
    title = f' title="{escape(meaning)}"' if meaning else ""
    shown = f' <span class="unit">{unit}</span>' if unit else ""
    return f'<th scope="col"{title}>{heading}{shown}</th>'


def strip_page(page: str) -> str:
    """The part of an HTML page in a file that `render_tables` of fig.report.targets made."""
    return page.removeprefix(PAGE)
