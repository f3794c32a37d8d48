"""Fine-tuning from the inside: confidence and energy of ID images and of low-entropy samples, Figure 3 among others."""

from collections.abc import Iterable, Mapping
from itertools import product

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fig.report.measures import PATCHED
from fig.report.plots import (
    ID_COLOUR,
    MOST,
    SAMPLE_COLOUR,
    add_legend,
    add_notes,
    make_empty,
    make_panels,
    note_left_out,
)
from fig.report.results import Results, note_missing, stack_tables
from fig.report.targets import Made
from fig.report.titles import place_title, variant_title
from fig.study.selection import Key, Selection

COLUMNS = ["iteration", "id_confidence", "generated_confidence", "id_energy", "generated_energy"]
CURVES = (
    ("id", "ID images", ID_COLOUR, "--"),
    ("generated", "low-entropy samples", SAMPLE_COLOUR, "-"),
)  # by columns' first word


def make(results: Results, selection: Selection) -> Made:
    """Figure 3: the variants that draw low-entropy samples, with 1 / classes, the confidence of a random guess."""
    classes = {key: card["architecture"]["classes"] for key, card in results.cards.items()}
    return make_from_histories(results, selection, classes)


def make_finetuning(results: Results, selection: Selection) -> Made:
    """All variants of a run that draw low-entropy samples."""
    return make_from_histories(results, selection, {})


def make_from_histories(results: Results, selection: Selection, classes: Mapping[Key, int]) -> Made:
    """The histories of those variants that draw low-entropy samples, drawn and as values."""
    found = {key: table[COLUMNS] for key, table in results.histories.items() if set(COLUMNS) <= set(table)}
    values = stack_tables(found)
    return Made(
        figure=draw_histories(values, classes, selection.titles, note_missing(results.missing)), figure_values=values
    )


def draw_histories(values: pd.DataFrame, classes: Mapping[Key, int], titles: Mapping[str, str], note: str) -> Figure:
    """Draw two panels, confidence and energy, for each variant of each ID data set and network, FIG first of many."""
    if values.empty:
        return make_empty(f"No variant here draws low-entropy samples. {note}")
    grouped = dict(iter(values.groupby(["id_dataset", "network", "variant"], sort=False)))
    places: list[tuple[str, str]] = list(dict.fromkeys(names[:2] for names in grouped))
    variants = list(dict.fromkeys(names[2] for names in grouped))
    if len(places) * len(variants) > MOST:
        places = places[:MOST]
        variants = sorted(variants, key=lambda name: name != PATCHED)[: MOST // len(places)]
    shown = sum(names[:2] in places and names[2] in variants for names in grouped)
    chances = {key[:3]: 1 / count for key, count in classes.items()}
    wide = len(variants) > len(places)
    rows, columns = sorted([len(places), len(variants)])
    figure, axes = make_panels(2 * rows, columns)
    grid = axes.reshape(rows, 2, columns)  # the second of them: confidence, energy
    for (i, place), (j, variant) in product(enumerate(places), enumerate(variants)):
        upper, lower = grid[i, :, j] if wide else grid[j, :, i]
        if (*place, variant) not in grouped:
            upper.axis("off"), lower.axis("off")
            continue
        runs = [run for _, run in grouped[*place, variant].groupby("seed", sort=False)]
        draw_curves(upper, runs, "confidence")
        draw_curves(lower, runs, "energy")
        if (*place, variant) in chances:
            upper.axhline(chances[*place, variant], color="0.3", linewidth=1, linestyle=":", label="1 / classes")
        upper.set(title=f"{variant_title(variant)}\n{place_title(*place, titles)}", ylim=(0, 1.05))
        lower.set_xlabel("iteration")
    add_legend(figure)
    return add_notes(figure, note_left_out(shown, len(grouped)), note)


def draw_curves(axes: Axes, runs: Iterable[pd.DataFrame], measure: str) -> None:
    """Draw a measure along fine-tuning: a thin line for each seed, a thick one for their mean."""
    both = pd.concat(runs)
    for kind, label, colour, line in CURVES:
        column = f"{kind}_{measure}"
        for _, run in both.groupby("seed"):
            axes.plot(run["iteration"], run[column], color=colour, linewidth=0.8, alpha=0.45)
        mean = both.groupby("iteration")[column].mean()
        axes.plot(mean.index, mean, line, color=colour, linewidth=2, label=label)
    axes.set_ylabel(f"mean {measure}")
