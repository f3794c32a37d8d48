"""How much of a gain goes with high frequencies: AUROC under each resampler, and the spectra of the images."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from fig.intact import open_images
from fig.report.measures import (
    NAMES,
    PLACE,
    average_over_seeds,
    find_comparable,
    find_lacking,
    gains_over_standard,
    gather_rows,
)
from fig.report.plots import COLOURS, LINES, MARKERS, Style, add_legend, add_notes, make_empty, make_panels
from fig.report.results import Results, note_missing
from fig.report.spectra import HIGH, Spectrum, measure_excess, measure_spectrum
from fig.report.tables import ABSENT, Table, format_number, format_percent, format_seeds, pivot_cells
from fig.report.targets import Made
from fig.report.titles import network_title, ood_titles, split_ood_name, variant_title
from fig.study.selection import Selection

GAIN = "gain of "
WHERE = [*PLACE, "source", "way", "ood_dataset"]
FEW = 3  # sets, below which an order means nothing
ABOUT = "AUROC on the same images under each resampler (r) and cropped (c), per cent"
NOTES = (
    "The excess of high frequencies is the binary logarithm of the ratio of an OOD set's mean power above "
    f"{HIGH} cycles a pixel to the ID test images': 0 is as much, 1 twice as much.",
    "Gains are over standard, paired by seed, in points.",
)

Styles = Mapping[str, Style]  # by OOD set: how it is drawn
Spectra = Mapping[str, Mapping[str, Spectrum]]  # by ID data set, then by its own name and those of its OOD sets


def make(results: Results, selection: Selection) -> Made:
    """AUROC, gains and the excess of high frequencies, as a table; gains against the excess, and spectra, drawn."""
    aurocs = find_comparable(results.metrics, selection)
    gains = gains_over_standard(aurocs)
    spectra = find_spectra(results, selection)
    values = compare_sets(aurocs, gains, spectra)
    correlations = correlate(gains, spectra)
    note = " ".join(
        [*note_images(selection, spectra), note_missing(results.missing_with(find_lacking(aurocs)))]
    ).strip()
    notes = [*NOTES, *describe_correlations(correlations, values), *([note] if note else [])]
    caption = f"{ABOUT}: {format_seeds(len(selection.seeds))}"
    figure = draw_resampling(values, correlations, spectra, selection, note)
    return Made((Table(caption, lay_out_sets(values), notes),), values, figure, tidy_spectra(spectra))


def find_spectra(results: Results, selection: Selection) -> Spectra:
    """Spectra of each ID data set's test images and of its OOD sets', all of one size, as far as images are there."""
    sizes = {name: size for size, name in results.images}
    found: dict[tuple[str, str], Spectrum] = {}
    by_id: dict[str, dict[str, Spectrum]] = {}
    for study in selection.studies:
        for id_dataset in study.id_datasets:
            own = by_id.setdefault(id_dataset, {})
            for place in ((sizes.get(id_dataset, ""), name) for name in (id_dataset, *study.ood_datasets)):
                if place in results.images:
                    if place not in found:
                        found[place] = measure_spectrum(open_images(results.images[place]))
                    own[place[1]] = found[place]
    return by_id


def note_images(selection: Selection, spectra: Spectra) -> Iterator[str]:
    """Say which images are missing."""
    wanted = {id_dataset: {id_dataset: None} for study in selection.studies for id_dataset in study.id_datasets}
    for study in selection.studies:
        for id_dataset in study.id_datasets:
            wanted[id_dataset] |= dict.fromkeys(study.ood_datasets)
    for id_dataset, names in wanted.items():
        if lacking := [name for name in names if name not in spectra[id_dataset]]:
            yield f"Missing of {id_dataset}: prepared test images of {', '.join(lacking)}."


def excess_of(spectra: Spectra, id_dataset: str, ood_dataset: str) -> float:
    """The excess of an OOD set over an ID data set; NaN where images are missing."""
    sets = spectra[id_dataset]
    return (
        measure_excess(sets[ood_dataset], sets[id_dataset]) if {id_dataset, ood_dataset} <= set(sets) else float("nan")
    )


def compare_sets(aurocs: pd.DataFrame, gains: pd.DataFrame, spectra: Spectra) -> pd.DataFrame:
    """A row for each place and column: the columns of WHERE, column, mean, sd, seeds, excess.

    A column is a variant (its AUROC) or `gain of <variant>` (over standard, paired by seed); means and standard
    deviations are over seeds and NaN where one is missing. `excess` is that of the OOD set's high frequencies over the
    ID data set's (fig.report.spectra).
    """
    both = pd.concat([aurocs, gains.assign(variant=GAIN + gains["variant"])])
    by = [*PLACE, "ood_dataset", "variant"]
    values = average_over_seeds(gather_rows(both, NAMES), by).rename(columns={"variant": "column"})
    made = [split_ood_name(name) for name in values["ood_dataset"]]
    values = values.assign(
        source=[source for source, _ in made],
        way=[way for _, way in made],
        excess=[excess_of(spectra, row.id_dataset, row.ood_dataset) for row in values.itertuples()],
    )
    return values[[*WHERE, "column", "mean", "sd", "seeds", "excess"]]


def correlate(gains: pd.DataFrame, spectra: Spectra) -> pd.DataFrame:
    """Rank correlation (Spearman) over OOD sets of a variant's gain with the sets' excess of high frequencies.

    Columns: id_dataset, network, variant, rho (of the mean gains), low and high (the least and largest of the seeds'
    own), sets. Places with a missing gain or missing images, or with fewer than FEW sets, have none.
    """
    rows = []
    for names, table in gains.groupby(NAMES, sort=False):
        wide = table.pivot(index="ood_dataset", columns="seed", values="value")
        excesses = np.array([excess_of(spectra, names[0], name) for name in wide.index])
        if len(wide) >= FEW and wide.notna().all(axis=None) and not np.isnan(excesses).any():
            own = [spearmanr(excesses, column).statistic for _, column in wide.items()]
            rho = spearmanr(excesses, wide.mean(axis=1)).statistic
            rows.append((*names, rho, min(own), max(own), len(wide)))
    return pd.DataFrame(rows, columns=[*NAMES, "rho", "low", "high", "sets"])


def lay_out_sets(values: pd.DataFrame) -> pd.DataFrame:
    """A row for each OOD set, by source; cells are text, in per cent but for the excess."""
    texts = values.assign(
        cell=[format_percent(r.mean, r.sd, r.column.startswith(GAIN)) or ABSENT for r in values.itertuples()]
    )
    columns = sorted(dict.fromkeys(values["column"]), key=lambda name: name.startswith(GAIN))
    wide = pivot_cells(texts.sort_values([*PLACE, "source", "excess"]), WHERE, "column")[[*WHERE, *columns]]
    excesses = dict(zip(values[WHERE].itertuples(index=False, name=None), values["excess"], strict=True))
    names = wide[WHERE].itertuples(index=False, name=None)
    wide.insert(5, "excess of high frequencies", [format_number(excesses[each], "+.2f") or ABSENT for each in names])
    return wide.drop(columns="ood_dataset")


def describe_correlations(correlations: pd.DataFrame, values: pd.DataFrame) -> Iterator[str]:
    """Each rank correlation in a sentence."""
    sources = values.groupby("id_dataset")["source"].nunique()
    for row in correlations.itertuples():
        yield (
            f"On {row.id_dataset} with {row.network} the rank correlation (Spearman) of the gain of {row.variant} with "
            f"the excess is {row.rho:+.2f} ({row.low:+.2f} to {row.high:+.2f} for single seeds), over {row.sets} OOD "
            f"sets. They come from {sources[row.id_dataset]} sources, so they are not independent, and no p-value is "
            "given."
        )


def tidy_spectra(spectra: Spectra) -> pd.DataFrame:
    """Spectra as rows: id_dataset, dataset, frequency (cycles a pixel), power."""
    parts = [
        pd.DataFrame({"id_dataset": id_dataset, "dataset": name, "frequency": each.frequency, "power": each.power})
        for id_dataset, sets in spectra.items()
        for name, each in sets.items()
    ]
    return pd.concat(
        parts or [pd.DataFrame(columns=["id_dataset", "dataset", "frequency", "power"])], ignore_index=True
    )


def choose_styles(names: Sequence[str], titles: Mapping[str, str]) -> Styles:
    """How each OOD set is drawn: a colour for its way, a line and a marker for its source, and its label."""
    made = [split_ood_name(name) for name in names]
    ways = dict(zip(dict.fromkeys(way for _, way in made), cycle(COLOURS[:6])))
    sources = dict(zip(dict.fromkeys(source for source, _ in made), cycle(zip(LINES, MARKERS, strict=False))))
    labels = ood_titles(names, titles)
    return {
        name: {"color": ways[way], "linestyle": sources[source][0], "marker": sources[source][1], "label": labels[name]}
        for name, (source, way) in zip(names, made, strict=True)
    }


def draw_resampling(
    values: pd.DataFrame, correlations: pd.DataFrame, spectra: Spectra, selection: Selection, note: str
) -> Figure:
    """Draw a row for each ID data set and network: the spectra, then the gain of each variant against the excess."""
    gains = values[values["column"].str.startswith(GAIN)]
    if gains["mean"].isna().all():
        return make_empty(f"There is no gain to show. {note}")
    rows, columns = list(gains.groupby(PLACE, sort=False)), list(dict.fromkeys(gains["column"]))
    styles = choose_styles(list(dict.fromkeys(gains["ood_dataset"])), selection.titles)
    figure, axes = make_panels(len(rows), 1 + len(columns), width=3.3, height=3)
    for line, ((id_dataset, network), table) in zip(axes, rows, strict=True):
        draw_spectra(line[0], id_dataset, spectra[id_dataset], styles)
        line[0].set_title(selection.titles.get(id_dataset, id_dataset))
        for each, column in zip(line[1:], columns, strict=True):
            variant = column.removeprefix(GAIN)
            found = correlations.query("id_dataset == @id_dataset and network == @network and variant == @variant")
            rho = "".join(f"\nrank correlation {value:+.2f}" for value in found["rho"])
            draw_gains_by_excess(each, table[table["column"] == column], styles)
            each.set_title(f"{variant_title(variant)} · {network_title(network)}{rho}")
        limits = [each.get_ylim() for each in line[1:]]
        for each in line[1:]:
            each.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    add_legend(figure)
    return add_notes(figure, "Bars: standard deviation over seeds. Colours are ways, markers sources.", note)


def draw_spectra(axes: Axes, id_dataset: str, sets: Mapping[str, Spectrum], styles: Styles) -> None:
    """Draw power against frequency: the ID data set's thick and black, a thin line for each OOD set."""
    for name, each in sets.items():
        if name == id_dataset:
            axes.plot(each.frequency, each.power, color="black", linewidth=2.5, label="ID")
        elif name in styles:
            points: Style = {"linewidth": 1.2, "markersize": 4, "markevery": max(1, len(each.power) // 6)}
            axes.plot(each.frequency, each.power, **points, **styles[name])
    axes.axvspan(HIGH, 0.5, color="0.92", zorder=0)
    axes.set(yscale="log", xlabel="cycles a pixel (grey: high)", ylabel="power of the luminance")


def draw_gains_by_excess(axes: Axes, rows: pd.DataFrame, styles: Styles) -> None:
    """Draw gains in points against the excess, with standard deviations over seeds."""
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.axvline(0, color="0.6", linewidth=0.8)
    for row in rows.dropna(subset=["mean", "excess"]).itertuples():
        style = {key: styles[row.ood_dataset][key] for key in ("color", "marker")}
        bars: Style = {"elinewidth": 1, "capsize": 2, "linestyle": "", "markersize": 5}
        axes.errorbar(row.excess, 100 * row.mean, 100 * (0 if pd.isna(row.sd) else row.sd), **style, **bars)
    axes.set(xlabel="excess of high frequencies over ID (log2)", ylabel="AUROC gain (points)")
