"""Figures: fine-tuning seen from the inside, scores before and after it, and what a discriminator is sure about."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, product
from types import MappingProxyType
from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fig.report.drawing import COLOURS, DPI, GENERATED, ID, LINES, annotated, empty, legend, panels
from fig.report.records import Key
from fig.report.titles import network_title, variant_title

SAMPLES = 12  # shown for each discriminator


class Probe(Protocol):
    """What is drawn of fig.sampling.Probe, which this module does not import: it stays free of torch."""

    steps: float
    stops: Sequence[int]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    share: Sequence[float]


def draw_history(axes: Axes, runs: Iterable[pd.DataFrame], measure: str) -> None:
    """ID and generated images' `measure` along fine-tuning: a thin line for each seed, a thick one for their mean."""
    both = pd.concat(runs)
    for kind, colour, line in (("id", ID, "--"), ("generated", GENERATED, "-")):
        column = f"{kind}_{measure}"
        for _, run in both.groupby("seed"):
            axes.plot(run["iteration"], run[column], color=colour, linewidth=0.8, alpha=0.45)
        mean = both.groupby("iteration")[column].mean()
        axes.plot(mean.index, mean, line, color=colour, linewidth=2, label=f"{kind.replace('id', 'ID')} images")
    axes.set_ylabel(f"mean {measure}")


def finetuning(
    histories: Mapping[Key, pd.DataFrame],
    titles: Mapping[str, str] = MappingProxyType({}),
    classes: Mapping[Key, int] = MappingProxyType({}),
    note: str = "",
) -> Figure:
    """Figure 3: confidence and energy of ID and generated images along fine-tuning, for variants that generate images.

    A dotted line marks the confidence of one who knows nothing, 1 / classes, where the classes are known.
    """
    runs = {key: table.assign(seed=key[-1]) for key, table in histories.items() if "generated_energy" in table}
    if not runs:
        return empty(f"No variant generates images. {note}")
    networks = list(dict.fromkeys(key[:2] for key in runs))
    variants = list(dict.fromkeys(key[2] for key in runs))
    wide = len(variants) > len(networks)
    rows, columns = sorted([len(networks), len(variants)])
    figure, axes = panels(2 * rows, columns)
    grid = axes.reshape(rows, 2, columns)  # the second of them: confidence, energy
    for (i, network), (j, variant) in product(enumerate(networks), enumerate(variants)):
        these = [table for key, table in runs.items() if key[:3] == (*network, variant)]
        upper, lower = grid[i, :, j] if wide else grid[j, :, i]
        if not these:
            upper.axis("off"), lower.axis("off")
            continue
        draw_history(upper, these, "confidence")
        draw_history(lower, these, "energy")
        if chance := next((1 / count for key, count in classes.items() if key[:3] == (*network, variant)), 0):
            upper.axhline(chance, color="0.3", linewidth=1, linestyle=":", label="1 / classes")
        named = f"{titles.get(network[0], network[0])} · {network_title(network[1])}"
        upper.set(title=f"{variant_title(variant)}\n{named}", ylim=(0, 1.05))
        lower.set_xlabel("iteration")
    legend(figure)
    return annotated(figure, note)


def draw_scores(axes: Axes, sets: Mapping[str, NDArray[np.floating]], looks: Mapping[str, Mapping[str, str]]) -> None:
    """Histograms of the scores of ID and OOD images, each of area one; `looks` are the lines of the OOD sets."""
    shown = np.concatenate(list(sets.values()))
    bins = np.linspace(*np.quantile(shown, [0.002, 0.998]), 50)
    axes.hist(sets["id"], bins, density=True, color=ID, alpha=0.35, label="ID")
    for name, look in looks.items():
        axes.hist(sets[name], bins, density=True, histtype="step", linewidth=1.4, label=name, **look)
    axes.set_yticks([])


def scores(scores_of: Mapping[tuple[Key, str], Mapping[str, NDArray[np.floating]]]) -> Figure:
    """Histograms of ID and OOD scores, seeds pooled: columns are variants, standard first.

    `scores_of[key, detector]` holds the scores of the test images ("id") and of each OOD set.
    """
    if not scores_of:
        return empty("Nothing to compare: neither standard nor FIG was scored by the baseline.")
    rows = list(dict.fromkeys((*key[:2], detector) for key, detector in scores_of))
    variants = list(dict.fromkeys(key[2] for key, _ in scores_of))
    names = list(dict.fromkeys(name for sets in scores_of.values() for name in sets if name != "id"))
    others = [colour for colour in COLOURS if colour != ID]
    looks = {
        name: {"color": others[i % len(others)], "linestyle": LINES[i // len(others) % len(LINES)]}
        for i, name in enumerate(names)
    }
    figure, axes = panels(len(rows), len(variants), height=2.2)
    for row, (id_dataset, network, detector) in enumerate(rows):
        for column, variant in enumerate(variants):
            these = [
                sets
                for (key, d), sets in scores_of.items()
                if (*key[:3], d) == (id_dataset, network, variant, detector)
            ]
            each = axes[row, column]
            if not these:
                each.axis("off")
                continue
            pooled = {n: np.concatenate([sets[n] for sets in these]) for n in these[0]}
            draw_scores(each, pooled, {n: look for n, look in looks.items() if n in pooled})
            each.set(title=f"{variant}\n{id_dataset} · {network}", xlabel=f"{detector} score")
    legend(figure)
    return figure


def samples(samples_of: Mapping[Key, Mapping[str, NDArray]]) -> Figure:
    """The generated samples of each discriminator of the first seed, with their confidence: one row each.

    `samples_of[key]` holds `images` (N, height, width, 3), `confidence` (N,) and `predicted` (N,).
    """
    if not samples_of:
        return empty("Nothing to compare: neither standard nor FIG is among the discriminators.")
    first = {key: value for key, value in samples_of.items() if key[-1] == min(k[-1] for k in samples_of)}
    figure = Figure(figsize=(0.85 * SAMPLES, 1.4 * len(first)), layout="constrained", dpi=DPI)
    for part, ((id_dataset, network, variant, _), drawn) in zip(
        np.atleast_1d(figure.subfigures(len(first))), first.items(), strict=True
    ):
        mean = 100 * drawn["confidence"].mean()
        title = f"{variant} · {id_dataset} · {network} · mean confidence {mean:.0f} %"
        part.suptitle(title, x=0.01, ha="left", fontsize=9, fontweight="bold")
        shown = zip(drawn["images"], drawn["predicted"], drawn["confidence"], strict=True)
        for each, (image, predicted, confidence) in zip(part.subplots(1, SAMPLES), shown, strict=False):
            each.imshow(image)
            each.axis("off")
            each.set_title(f"{predicted}: {100 * confidence:.0f} %", fontsize=7, pad=2)
    return figure


def probes(reports: Mapping[str, Probe]) -> Figure:
    """Confidence of discriminators on their own samples against steps, and how many chains the rule has stopped."""
    figure, axes = panels(1, 3, width=4, height=3.4)
    for colour, (name, report) in zip(cycle(COLOURS), reports.items(), strict=False):
        steps = np.arange(len(report.mean))
        axes[0, 0].plot(steps, report.mean, color=colour, label=name)
        axes[0, 0].fill_between(steps, report.low, report.high, color=colour, alpha=0.15, linewidth=0)
        axes[0, 0].axvline(report.steps, color=colour, linestyle=":", linewidth=1)
        axes[0, 1].plot(steps, report.share, color=colour)
        stopped = np.searchsorted(np.sort(report.stops), steps, side="right") / len(report.stops)
        axes[0, 2].plot(steps, stopped, color=colour)
    titles = (
        "confidence, tenth to ninetieth percentile\n(dotted: mean stop)",
        "share of chains above 0.9",
        "share of chains stopped by the rule",
    )
    for each, title in zip(axes.flat, titles, strict=True):
        each.set(title=title, xlabel="steps", ylim=(-0.02, 1.05))
        each.title.set_fontsize("medium")
    legend(figure)
    return figure
