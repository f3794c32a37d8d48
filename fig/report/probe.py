"""The figure of `fig probe`: how confident discriminators are on their own low-entropy samples, step by step."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure

from fig.report.plots import COLOURS, add_legend, make_panels

TITLES = (
    "confidence, tenth to ninetieth percentile\n(dotted: mean stop)",
    "share of chains above 0.9",
    "share of chains stopped by the rule",
)


class Probe(Protocol):
    """What is drawn of fig.sampling.Probe, which this module does not import: it stays free of torch."""

    @property
    def steps(self) -> float:
        """Mean steps that the rule lets chains take."""

    @property
    def stops(self) -> Sequence[int]:
        """Steps of each chain."""

    @property
    def mean(self) -> Sequence[float]:
        """Mean confidence after 0, 1, ... steps."""

    @property
    def low(self) -> Sequence[float]:
        """Its tenth percentile."""

    @property
    def high(self) -> Sequence[float]:
        """Its ninetieth percentile."""

    @property
    def share(self) -> Sequence[float]:
        """Share of the confident chains after 0, 1, ... steps."""


def draw_probes(probes: Mapping[str, Probe]) -> Figure:
    """Draw the confidence of discriminators against steps, and the share of chains that the rule has stopped."""
    figure, axes = make_panels(1, 3, width=4, height=3.4)
    for colour, (name, probe) in zip(cycle(COLOURS), probes.items(), strict=False):
        steps = np.arange(len(probe.mean))
        axes[0, 0].plot(steps, probe.mean, color=colour, label=name)
        axes[0, 0].fill_between(steps, probe.low, probe.high, color=colour, alpha=0.15, linewidth=0)
        axes[0, 0].axvline(probe.steps, color=colour, linestyle=":", linewidth=1)
        axes[0, 1].plot(steps, probe.share, color=colour)
        stopped = np.searchsorted(np.sort(probe.stops), steps, side="right") / len(probe.stops)
        axes[0, 2].plot(steps, stopped, color=colour)
    for each, title in zip(axes.flat, TITLES, strict=True):
        each.set(title=title, xlabel="steps", ylim=(-0.02, 1.05))
        each.title.set_fontsize("medium")
    add_legend(figure)
    return figure
