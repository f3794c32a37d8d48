"""Figures: fine-tuning seen from the inside, scores before and after it, and what a discriminator is sure about."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fig.report.records import Key

ID, GENERATED = "#1b6ca8", "#d1495b"
OOD_COLOURS = ("#d1495b", "#edae49", "#66a182", "#8d6a9f", "#a05a2c", "#2e4057", "#c06c84", "#6b8e23")
SAMPLES = 12  # shown for each discriminator


class Probe(Protocol):
    """What is drawn of fig.sampling.Probe, which this module does not import: it stays free of torch."""

    steps: float
    stops: Sequence[int]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    share: Sequence[float]


def panels(rows: int, columns: int, width: float = 3.2, height: float = 2.4) -> tuple[Figure, NDArray[np.object_]]:
    """A figure of rows x columns axes, each of the given size in inches."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained", dpi=110)
    axes = figure.subplots(rows, columns, squeeze=False)
    for each in axes.flat:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def empty(text: str) -> Figure:
    """A figure that says why there is nothing to see."""
    figure = Figure(figsize=(6.4, 0.8), dpi=110)
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return figure


def draw_history(axes: Axes, runs: Iterable[pd.DataFrame], measure: str) -> None:
    """ID and generated images' `measure` along fine-tuning: a thin line for each seed, a thick one for their mean."""
    both = pd.concat(runs)
    for kind, colour in (("id", ID), ("generated", GENERATED)):
        column = f"{kind}_{measure}"
        for _, run in both.groupby("seed"):
            axes.plot(run["iteration"], run[column], color=colour, linewidth=0.8, alpha=0.45)
        mean = both.groupby("iteration")[column].mean()
        axes.plot(mean.index, mean, color=colour, linewidth=2, label=f"{kind.replace('id', 'ID')} images")
    axes.set_ylabel(f"mean {measure}")


def finetuning(histories: Mapping[Key, pd.DataFrame]) -> Figure:
    """Confidence and energy of ID and generated images along fine-tuning, for each variant that generates images."""
    runs = {key: table.assign(seed=key[-1]) for key, table in histories.items() if "generated_energy" in table}
    if not runs:
        return empty("No variant of this run generates images.")
    networks = list(dict.fromkeys(key[:2] for key in runs))
    variants = list(dict.fromkeys(key[2] for key in runs))
    figure, axes = panels(2 * len(networks), len(variants))
    for row, network in enumerate(networks):
        for column, variant in enumerate(variants):
            these = [table for key, table in runs.items() if key[:3] == (*network, variant)]
            upper, lower = axes[2 * row, column], axes[2 * row + 1, column]
            if not these:
                upper.axis("off"), lower.axis("off")
                continue
            draw_history(upper, these, "confidence")
            draw_history(lower, these, "energy")
            upper.set(title=f"{variant}\n{' · '.join(network)}", ylim=(0, 1.05))
            lower.set_xlabel("iteration")
    axes[0, 0].legend(frameon=False, fontsize="small")
    return figure


def draw_scores(axes: Axes, sets: Mapping[str, NDArray[np.floating]], colours: Mapping[str, str]) -> None:
    """Histograms of the scores of ID and OOD images, each of area one."""
    shown = np.concatenate(list(sets.values()))
    bins = np.linspace(*np.quantile(shown, [0.002, 0.998]), 50)
    for name, scores in sets.items():
        kind = {"histtype": "stepfilled", "alpha": 0.35} if name == "id" else {"histtype": "step", "linewidth": 1.6}
        label = "ID" if name == "id" else name
        axes.hist(scores, bins, density=True, color=colours[name], label=label, **kind)
    axes.set_yticks([])


def scores(scores_of: Mapping[tuple[Key, str], Mapping[str, NDArray[np.floating]]]) -> Figure:
    """Histograms of ID and OOD scores, seeds pooled: columns are variants, standard first.

    `scores_of[key, detector]` holds the scores of the test images ("id") and of each OOD set.
    """
    rows = list(dict.fromkeys((*key[:2], detector) for key, detector in scores_of))
    variants = list(dict.fromkeys(key[2] for key, _ in scores_of))
    names = list(dict.fromkeys(name for sets in scores_of.values() for name in sets if name != "id"))
    colours = {"id": ID} | {name: OOD_COLOURS[i % len(OOD_COLOURS)] for i, name in enumerate(names)}
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
            draw_scores(each, {n: np.concatenate([sets[n] for sets in these]) for n in these[0]}, colours)
            each.set(title=f"{variant}\n{id_dataset} · {network}", xlabel=f"{detector} score")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def samples(samples_of: Mapping[Key, Mapping[str, NDArray]]) -> Figure:
    """The generated samples of each discriminator of the first seed, with their confidence: one row each.

    `samples_of[key]` holds `images` (N, height, width, 3), `confidence` (N,) and `predicted` (N,).
    """
    first = {key: value for key, value in samples_of.items() if key[-1] == min(k[-1] for k in samples_of)}
    figure = Figure(figsize=(0.85 * SAMPLES, 1.4 * len(first)), layout="constrained", dpi=110)
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
    for colour, (name, report) in zip(cycle((ID, *OOD_COLOURS)), reports.items(), strict=False):
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
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure
