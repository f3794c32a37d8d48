"""Charts as small inline SVG: a page holds dozens, for which matplotlib would take megabytes and minutes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from fig.report.markup import rendered

WIDTH, HEIGHT = 640, 400  # of a chart, in units of which a letter is some 22 high
LEFT, RIGHT, TOP, BOTTOM = 84, 14, 14, 74  # margins around the plot
STRIP = 240  # width of a strip
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#444444")  # Okabe and Ito's


@dataclass(frozen=True)
class Curve:
    """A line through points, or the outline of an area that stands on the axis; `name` is what pointing at it shows."""

    name: str
    x: ArrayLike
    y: ArrayLike
    colour: str
    filled: bool = False
    dashes: str = ""


@dataclass(frozen=True)
class Axis:
    """The label of an axis and the values at its ends."""

    label: str
    low: float
    high: float
    ticks: bool = True

    def placed(self, values: ArrayLike, start: float, end: float) -> list[int]:
        """Where values are between `start` and `end`; what is beyond an end of the axis is at it."""
        shares = (np.asarray(values, float) - self.low) / (self.high - self.low)
        return np.rint(start + np.clip(shares, 0, 1) * (end - start)).astype(int).tolist()

    def marks(self, start: float, end: float) -> list[tuple[int, str]]:
        """Place and text of each tick."""
        values = MaxNLocator(4).tick_values(self.low, self.high) if self.ticks else []
        shown = [value for value in values if self.low - 1e-9 <= value <= self.high + 1e-9]
        texts = [f"{value:.4g}" if len(f"{value:.4g}") < 6 else f"{value:.0e}" for value in shown]
        return list(zip(self.placed(shown, start, end), texts, strict=True))


def axis_around(label: str, *values: ArrayLike) -> Axis:
    """An axis that holds all finite values, and a little more."""
    every = np.concatenate([np.ravel(np.asarray(each, float)) for each in values])
    finite = every[np.isfinite(every)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    margin = 0.04 * (high - low) or 0.1 * abs(high) or 0.5
    return Axis(label, float(low - margin), float(high + margin))


def path(x: Sequence[int], y: Sequence[int]) -> str:
    """A line through points as SVG's path, each point relative to the one before."""
    steps = (f"l{b[0] - a[0]} {b[1] - a[1]}" for a, b in pairwise(zip(x, y, strict=True)))
    return f"M{x[0]} {y[0]}" + "".join(steps)


def drawn(curve: Curve, x: Axis, y: Axis) -> str:
    """A curve as SVG's path; points that are not finite are left out, and nothing is drawn of no points."""
    points = np.column_stack([np.asarray(curve.x, float), np.asarray(curve.y, float)])
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return ""
    across, up = x.placed(points[:, 0], LEFT, WIDTH - RIGHT), y.placed(points[:, 1], HEIGHT - BOTTOM, TOP)
    if curve.filled:
        across, up = [across[0], *across, across[-1]], [HEIGHT - BOTTOM, *up, HEIGHT - BOTTOM]
    return path(across, up)


def chart(title: str, curves: Sequence[Curve], x: Axis, y: Axis, diagonal: bool = False) -> Markup:
    """Curves in one plot; `title` says in words what is seen. `diagonal`: with a line from corner to corner."""
    return rendered(
        "chart.svg.j2",
        title=title,
        curves=[(curve, drawn(curve, x, y)) for curve in curves],
        x=x,
        y=y,
        across=x.marks(LEFT, WIDTH - RIGHT),
        up=y.marks(HEIGHT - BOTTOM, TOP),
        width=WIDTH,
        height=HEIGHT,
        box=(LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
        diagonal=diagonal,
    )


@dataclass(frozen=True)
class Mark:
    """A value on a strip, with an interval around it where there is one."""

    name: str
    value: float
    low: float
    high: float


def strip(marks: Sequence[Mark], axis: Axis) -> Markup:
    """Values on a line, the last with its interval; zero is marked. An interval's end beyond the axis has no bar."""
    *others, last = marks
    low, at, high, zero = axis.placed([last.low, last.value, last.high, 0.0], 8, STRIP - 8)
    shown = [x for x, value in ((low, last.low), (high, last.high)) if axis.low <= value <= axis.high]
    return rendered(
        "strip.svg.j2",
        width=STRIP,
        others=[(mark, axis.placed([mark.value], 8, STRIP - 8)[0]) for mark in others],
        mark=last,
        low=low,
        at=at,
        high=high,
        zero=zero,
        ends=shown,
    )
