"""Scores before and after FIG: histograms of standard's and FIG's on ID and OOD test images, seeds together."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fig.report.measures import NAMES, PATCHED, STANDARD, ask_comparable
from fig.report.plots import (
    COLOURS,
    ID_COLOUR,
    LINES,
    MOST,
    Style,
    add_legend,
    add_notes,
    make_empty,
    make_panels,
    note_left_out,
)
from fig.report.results import UNEVALUATED, Arrays, Results, note_missing
from fig.report.targets import Made
from fig.report.titles import place_title, variant_title
from fig.study.selection import Selection

BINS = 49
COLUMNS = [*NAMES, "detector", "dataset", "low", "high", "density"]  # of the values: an area of one for each data set


def make(results: Results, selection: Selection) -> Made:
    """The histograms of the scores under the detector by which standard and FIG are compared."""
    asked = ask_comparable(selection.studies)
    detectors = asked[asked["variant"].isin([STANDARD, PATCHED])].drop_duplicates(NAMES)
    found = []
    missing = {key: reason for key, reason in results.missing.items() if key[2] in (STANDARD, PATCHED)}
    for *names, detector in detectors[[*NAMES, "detector"]].itertuples(index=False, name=None):
        keys = [(*names, seed) for seed in selection.seeds if (*names, seed) in results.folders]
        scores = {key: results.scores(key, detector) for key in keys}
        missing |= {key: UNEVALUATED for key, sets in scores.items() if sets is None}
        there = [sets for sets in scores.values() if sets is not None]
        if there:
            bins = count_scores({name: np.concatenate([sets[name] for sets in there]) for name in there[0]})
            found.append(bins.assign(**dict(zip(NAMES, names, strict=True)), detector=detector))
    values = pd.concat(found, ignore_index=True)[COLUMNS] if found else pd.DataFrame(columns=COLUMNS)
    return Made(figure=draw_histograms(values, selection.titles, note_missing(missing)), figure_values=values)


def count_scores(sets: Arrays) -> pd.DataFrame:
    """Histograms over the same bins, which leave out the two in a thousand at either end: scores have long tails."""
    low, high = np.quantile(np.concatenate(list(sets.values())), [0.002, 0.998])
    edges = np.linspace(low, high, BINS + 1)
    rows = [
        pd.DataFrame({"dataset": name, "low": edges[:-1], "high": edges[1:], "density": density})
        for name, density in ((name, np.histogram(scores, edges, density=True)[0]) for name, scores in sets.items())
    ]
    return pd.concat(rows, ignore_index=True)


def draw_histograms(values: pd.DataFrame, titles: Mapping[str, str], note: str) -> Figure:
    """Draw a row for each ID data set and network; columns are variants, standard first."""
    if values.empty:
        return make_empty(f"There is nothing to compare: neither standard nor FIG has scores. {note}")
    grouped = dict(iter(values.groupby(NAMES, sort=False)))
    places: list[tuple[str, str]] = list(dict.fromkeys(names[:2] for names in grouped))
    variants = sorted(dict.fromkeys(names[2] for names in grouped), key=lambda name: name != STANDARD)
    looks = choose_looks(values["dataset"].unique())
    figure, axes = make_panels(min(len(places), MOST // len(variants)), len(variants), height=2.2)
    for line, place in zip(axes, places, strict=False):
        for each, variant in zip(line, variants, strict=True):
            if (*place, variant) not in grouped:
                each.axis("off")
                continue
            rows = grouped[*place, variant]
            draw_histogram(each, rows, looks)
            title = f"{variant_title(variant)}\n{place_title(*place, titles)}"
            each.set(title=title, xlabel=f"{rows['detector'].iloc[0]} score")
    add_legend(figure)
    return add_notes(figure, note_left_out(len(axes), len(places)), note)


def choose_looks(names: Iterable[str]) -> dict[str, Style]:
    """Choose colours and lines that tell the outlines of OOD sets apart; the ID images are filled."""
    others = [colour for colour in COLOURS if colour != ID_COLOUR]
    return {
        name: {"color": others[i % len(others)], "linestyle": LINES[i // len(others) % len(LINES)]}
        for i, name in enumerate(name for name in names if name != "id")
    }


def draw_histogram(axes: Axes, rows: pd.DataFrame, looks: Mapping[str, Style]) -> None:
    """Draw the histogram of the ID images filled, and those of the OOD sets as outlines."""
    for name, bins in rows.groupby("dataset", sort=False):
        edges = [*bins["low"], bins["high"].iloc[-1]]
        if name == "id":
            axes.stairs(bins["density"], edges, fill=True, color=ID_COLOUR, alpha=0.35, label="ID")
        else:
            axes.stairs(bins["density"], edges, linewidth=1.4, label=name, **looks[name])
    axes.set_yticks([])
