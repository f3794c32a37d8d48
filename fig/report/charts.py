"""Charts as small inline SVG, and the curves in them.

A discriminator's page holds a dozen, and a run has hundreds of pages. The ROC curves of eight OOD sets take 36 ms and
24 kB as Matplotlib's SVG, and 0.7 ms and 4 kB as these.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_curve

from fig.metrics import Scores, join_scores
from fig.report.markup import render

WIDTH, HEIGHT = 640, 400  # of a chart, in units of which a letter is some 22 high
LEFT, RIGHT, TOP, BOTTOM = 92, 14, 14, 74  # margins around the plot
STRIP = 190  # width of a strip
LINE = 11  # height of a pair of dots
CHART_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#7a5195",
    "#444444",
)  # Okabe and Ito's
Numbers = NDArray[np.float64]

BINS = 40
POINTS = 60  # of a ROC curve, at most


@dataclass(frozen=True)
class Curve:
    """A line through points, or the outline of an area above the axis; pointing at it shows its name."""

    name: str
    x: Numbers
    y: Numbers
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

    def place(self, values: ArrayLike, start: float, end: float) -> list[int]:
        """Places of values between `start` and `end`; what is beyond an end of the axis is at it."""
        shares = (np.asarray(values, float) - self.low) / (self.high - self.low)
        places: list[int] = np.rint(start + np.clip(shares, 0, 1) * (end - start)).astype(int).tolist()
        return places

    def marks(self, start: float, end: float) -> list[tuple[int, str]]:
        """Place and text of each tick."""
        values = MaxNLocator(4).tick_values(self.low, self.high) if self.ticks else []
        shown = [value for value in values if self.low - 1e-9 <= value <= self.high + 1e-9]
        texts = [f"{value:.4g}" if len(f"{value:.4g}") < 6 else f"{value:.0e}" for value in shown]
        return list(zip(self.place(shown, start, end), texts, strict=True))


def fit_axis(label: str, *values: ArrayLike) -> Axis:
    """An axis that holds all finite values, and a little more."""
    every = np.concatenate([np.ravel(np.asarray(each, float)) for each in values])
    finite = every[np.isfinite(every)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    margin = 0.04 * (high - low) or 0.1 * abs(high) or 0.5
    return Axis(label, float(low - margin), float(high + margin))


def path_through(x: Sequence[int], y: Sequence[int]) -> str:
    """A line through points as SVG's path, each point relative to the one before."""
    steps = (f"l{b[0] - a[0]} {b[1] - a[1]}" for a, b in pairwise(zip(x, y, strict=True)))
    return f"M{x[0]} {y[0]}" + "".join(steps)


def path_of(curve: Curve, x: Axis, y: Axis) -> str:
    """A curve as SVG's path, without points that are not finite; empty where no point is left."""
    points = np.column_stack([np.asarray(curve.x, float), np.asarray(curve.y, float)])
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return ""
    across, up = x.place(points[:, 0], LEFT, WIDTH - RIGHT), y.place(points[:, 1], HEIGHT - BOTTOM, TOP)
    if curve.filled:
        across, up = [across[0], *across, across[-1]], [HEIGHT - BOTTOM, *up, HEIGHT - BOTTOM]
    return path_through(across, up)


def draw_chart(title: str, curves: Sequence[Curve], x: Axis, y: Axis, diagonal: bool = False) -> Markup:
    """Draw curves in one plot; `title` says in words what is seen. `diagonal`: with a line from corner to corner."""
    return render(
        "chart.svg.j2",
        title=title,
        curves=[(curve, path_of(curve, x, y)) for curve in curves],
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
    """A value on a strip, with the ends of an interval around it; without an interval they are equal to it."""

    name: str
    value: float
    low: float
    high: float


def draw_strip(marks: Sequence[Mark], axis: Axis, chance: float = 0.0) -> Markup:
    """Draw values on a line, the last with its interval, and chance. An end of it beyond the axis has no bar."""
    *others, last = marks
    low, at, high, middle = axis.place([last.low, last.value, last.high, chance], 8, STRIP - 8)
    return render(
        "strip.svg.j2",
        width=STRIP,
        others=[(mark, axis.place([mark.value], 8, STRIP - 8)[0]) for mark in others],
        mark=last,
        low=low,
        at=at,
        high=high,
        middle=middle,
        chance=chance,
        ends=[x for x, value in ((low, last.low), (high, last.high)) if axis.low <= value <= axis.high],
    )


@dataclass(frozen=True)
class Pair:
    """The value of a seed before and after."""

    seed: str
    before: float
    after: float

    @property
    def text(self) -> str:
        """The pair in words."""
        return f"seed {self.seed}: {self.before:.1f} → {self.after:.1f}"


def draw_pairs(pairs: Sequence[Pair], axis: Axis) -> Markup:
    """Draw a line for each pair, from a hollow dot before to a filled one after."""
    ends = [axis.place([pair.before, pair.after], 8, STRIP - 8) for pair in pairs]
    rows = [(pair, *at, LINE * number + LINE) for number, (pair, at) in enumerate(zip(pairs, ends, strict=True))]
    return render("pairs.svg.j2", rows=rows, width=STRIP, height=LINE * (len(pairs) + 1))


def score_range(*sets: Scores) -> tuple[float, float]:
    """The ends of a histogram: all scores but one in a hundred at either end, for scores have long tails."""
    low, high = np.quantile(np.concatenate(sets), [0.01, 0.99])
    return (float(low), float(high)) if low < high else (float(low) - 0.5, float(high) + 0.5)


def bin_scores(scores: Scores, low: float, high: float) -> tuple[Numbers, Numbers]:
    """The middle of each bin and the share of the scores in it; the outer bins hold all that is beyond them."""
    counts, edges = np.histogram(np.clip(scores, low, high), BINS, (low, high))
    return (edges[1:] + edges[:-1]) / 2, counts / len(scores)


def thin_roc(id_scores: Scores, ood_scores: Scores) -> tuple[Numbers, Numbers]:
    """The ROC curve, shares of OOD and of ID images accepted; evenly many points where it is steep or flat."""
    accepted_ood, accepted_id, _ = roc_curve(*join_scores(id_scores, ood_scores))
    along = accepted_ood + accepted_id
    chosen = np.unique(np.searchsorted(along, np.linspace(0, 2, POINTS)))
    return accepted_ood[chosen], accepted_id[chosen]
