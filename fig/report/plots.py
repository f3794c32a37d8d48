"""What the figures share: colours that colour-blind people and grey printers tell apart, panels, notes, legends."""

from collections.abc import Iterable
from textwrap import fill
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

Panels = NDArray[Any]  # axes, in rows and columns: an array of objects does not say of which
Style = dict[str, Any]  # keyword arguments of Matplotlib's, which name colours, lines and markers

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito, 2008
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":")
ID_COLOUR, SAMPLE_COLOUR = COLOURS[:2]  # of ID images and of low-entropy samples
DPI = 160
MOST = 48  # panels or rows of images in a figure: hundreds take minutes and tens of megabytes, and nobody reads them
SMALL = 7  # points, of notes
LETTERS_PER_INCH = 18.5  # of that size

mpl.rcParams.update({"font.size": 8.5, "axes.titlesize": "medium"})  # readable where a page is 7 inches wide


def make_panels(rows: int, columns: int, width: float = 3.2, height: float = 2.4) -> tuple[Figure, Panels]:
    """Make a figure of rows x columns axes, each of the given size in inches."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained", dpi=DPI)
    axes = figure.subplots(rows, columns, squeeze=False)
    for each in axes.flat:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def note_left_out(shown: int, there: int) -> str:
    """Say where the others are where a figure shows some of what there is; empty where it shows all."""
    where = "its values (CSV) hold the others, and discriminators' pages show their own"
    return f"Shown are {shown} of {there}: {where}." if shown < there else ""


def make_empty(text: str) -> Figure:
    """Make a figure that says why there is nothing to see."""
    wrapped = fill(text, 90)
    figure = Figure(figsize=(6.4, 0.6 + 0.2 * wrapped.count("\n")), dpi=DPI)
    figure.text(0.5, 0.5, wrapped, ha="center", va="center", fontsize="small")
    return figure


def make_strips(
    count: int, columns: int, side: float, titles: float
) -> tuple[Figure, list[tuple[SubFigure, list[Axes]]]]:
    """Make a figure of rows of images with a side in inches and so much room for titles; a row is (part, axes)."""
    size = (max(6.4, side * columns), (side + titles) * count)
    figure = Figure(figsize=size, layout="constrained", dpi=DPI)
    rows = []
    for part in figure.subfigures(count, squeeze=False).flat:
        axes = list(part.subplots(1, columns, squeeze=False)[0])
        hide_frames(axes)
        rows.append((part, axes))
    return figure, rows


def hide_frames(axes: Iterable[Axes]) -> None:
    """Leave of the axes what is drawn on them: an image needs no ticks and no frame."""
    for each in axes:
        each.set(xticks=[], yticks=[])
        each.spines[:].set_visible(False)


def add_notes(figure: Figure, *notes: str) -> Figure:
    """Make the figure higher by notes in small print below it; empty ones are left out."""
    letters = max(30, int(LETTERS_PER_INCH * figure.get_figwidth()))
    text = "\n".join(fill(note, letters) for note in notes if note)
    if text:
        figure.set_figheight(figure.get_figheight() + 0.13 * (1 + text.count("\n")) + 0.05)
        figure.supxlabel(text, x=0.01, ha="left", fontsize=SMALL, color="0.25")
    return figure


def add_legend(figure: Figure, *more: Line2D) -> None:
    """Put a legend above the figure, of everything that any panel has a label for, each once, and of `more`.

    The figure grows where the legend has several lines.
    """
    shown = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    handles, labels = [*shown.values(), *more], [*shown, *(each.get_label() for each in more)]
    columns = max(1, int(figure.get_figwidth() / (0.55 + 0.075 * max(map(len, labels), default=1))))
    lines = -(-len(labels) // columns)
    figure.set_figheight(figure.get_figheight() + 0.17 * (lines - 1))
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), columns), frameon=False)
