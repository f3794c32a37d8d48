"""How much of a gain goes with high frequencies: AUROC under each resampler beside the spectra of the images."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from fig.report.aurocs import aurocs, gains, over_seeds
from fig.report.drawing import COLOURS, LINES, MARKERS, annotated, empty, legend, panels
from fig.report.render import Table
from fig.report.spectra import HIGH, Spectrum, excess
from fig.report.studies import Shown
from fig.report.tables import percent
from fig.report.titles import network_title, ood_titles, source_and_way, variant_title

GAIN = "gain of "
PLACE = ["id_dataset", "network", "source", "way", "ood_dataset"]
FEW = 3  # sets, below which an order means nothing

Styles = Mapping[str, Mapping[str, str]]  # by OOD set: how it is drawn
Spectra = Mapping[str, Mapping[str, Spectrum]]  # by ID data set, then by its own name and those of its OOD sets


def compared(metrics: pd.DataFrame, shown: Shown, spectra: Spectra) -> pd.DataFrame:
    """A row for each place and column: the columns of PLACE, column, mean, sd, seeds, excess.

    A column is a variant (its AUROC) or `gain of <variant>` (over standard, paired by seed); means and standard
    deviations are over seeds and missing where one is. `excess` is that of the OOD set's high frequencies over the ID
    data set's (fig.report.spectra).
    """
    own = aurocs(metrics, shown.studies, shown.seeds)
    gained = gains(own).assign(auroc=lambda rows: rows.pop("gain"), variant=lambda rows: GAIN + rows["variant"])
    values = over_seeds(pd.concat([own, gained]), ["id_dataset", "network", "ood_dataset", "variant"])
    made = [source_and_way(name) for name in values["ood_dataset"]]
    values = values.rename(columns={"variant": "column"}).assign(
        source=[source for source, _ in made],
        way=[way for _, way in made],
        excess=[
            excess(spectra[id_dataset][ood], spectra[id_dataset][id_dataset])
            for id_dataset, ood in zip(values["id_dataset"], values["ood_dataset"], strict=True)
        ],
    )
    return values[[*PLACE, "column", "mean", "sd", "seeds", "excess"]]


def correlation(metrics: pd.DataFrame, shown: Shown, values: pd.DataFrame) -> pd.DataFrame:
    """Rank correlation (Spearman) over OOD sets of a variant's gain with the sets' excess of high frequencies.

    Columns: id_dataset, network, variant, rho (of the mean gains), low and high (the least and largest of the seeds'
    own), sets. Places with a missing gain, or with fewer than FEW sets, have none.
    """
    place = ["id_dataset", "network", "ood_dataset"]
    excesses = values[[*place, "excess"]].drop_duplicates()
    gained = gains(aurocs(metrics, shown.studies, shown.seeds)).merge(excesses, on=place)
    rows = []
    for names, table in gained.groupby(["id_dataset", "network", "variant"], sort=False):
        wide = table.pivot(index=["ood_dataset", "excess"], columns="seed", values="gain").reset_index("excess")
        each = wide.drop(columns="excess")
        if len(wide) >= FEW and each.notna().all(axis=None):
            own = [spearmanr(wide["excess"], column).statistic for _, column in each.items()]
            rho = spearmanr(wide["excess"], each.mean(axis=1)).statistic
            rows.append((*names, rho, min(own), max(own), len(wide)))
    return pd.DataFrame(rows, columns=["id_dataset", "network", "variant", "rho", "low", "high", "sets"])


def readable(values: pd.DataFrame) -> pd.DataFrame:
    """A row for each OOD set, by source; cells are text, in per cent but for the excess."""
    texts = values.assign(cell=[percent(r.mean, r.sd, r.column.startswith(GAIN)) or "—" for r in values.itertuples()])
    columns = list(dict.fromkeys(sorted(values["column"], key=lambda name: name.startswith(GAIN))))
    wide = texts.pivot(index=[*PLACE, "excess"], columns="column", values="cell")[columns]
    wide = wide.reset_index().rename_axis(columns=None).sort_values(["id_dataset", "network", "source", "excess"])
    wide.insert(5, "excess of high frequencies", wide.pop("excess").map("{:+.2f}".format))
    return wide.drop(columns="ood_dataset")


def sentence(row: pd.Series, sources: int) -> str:
    """A rank correlation in words."""
    return (
        f"On {row.id_dataset} with {row.network} the rank correlation (Spearman) of the gain of {row.variant} with the "
        f"excess is {row.rho:+.2f} ({row.low:+.2f} to {row.high:+.2f} for single seeds), over {row.sets} OOD sets."
        f" They come from {sources} sources, so they are not independent, and no p-value is given."
    )


def table_of(values: pd.DataFrame, correlations: pd.DataFrame, missing: str) -> Table:
    """The comparison for people."""
    sources = values.groupby("id_dataset")["source"].nunique()
    notes = [
        f"The excess of high frequencies is the binary logarithm of the ratio of an OOD set's mean power above {HIGH} "
        "cycles a pixel to the ID test images': 0 is as much, 1 twice as much.",
        "Gains are over standard, paired by seed, in points.",
        *(sentence(row, sources[row.id_dataset]) for row in correlations.itertuples()),
        *([missing] if missing else []),
    ]
    about = "AUROC on the same images under each resampler (r) and cropped (c)"
    caption = f"{about}; per cent: mean ± standard deviation over {values['seeds'].max()} seeds"
    return Table("resampling", caption, readable(values), notes)


def tidy_spectra(spectra: Spectra) -> pd.DataFrame:
    """Spectra as rows: id_dataset, dataset, frequency (cycles a pixel), power."""
    parts = [
        pd.DataFrame({"id_dataset": id_dataset, "dataset": name, "frequency": each.frequency, "power": each.power})
        for id_dataset, sets in spectra.items()
        for name, each in sets.items()
    ]
    return pd.concat(parts, ignore_index=True)


def looks(names: Sequence[str], titles: Mapping[str, str]) -> Styles:
    """How each OOD set is drawn: a colour for its way, a line and a marker for its source, and its label."""
    made = [source_and_way(name) for name in names]
    ways = dict(zip(dict.fromkeys(way for _, way in made), cycle(COLOURS[:6])))
    sources = dict(zip(dict.fromkeys(source for source, _ in made), cycle(zip(LINES, MARKERS, strict=False))))
    called = ood_titles(names, titles)
    return {
        name: {"color": ways[way], "linestyle": sources[source][0], "marker": sources[source][1], "label": called[name]}
        for name, (source, way) in zip(names, made, strict=True)
    }


def draw_spectra(axes: Axes, own: Spectrum, sets: Mapping[str, Spectrum], styles: Styles) -> None:
    """Logarithm of the power against frequency: the ID data set's thick and black, a thin line for each OOD set."""
    axes.plot(own.frequency, own.power, color="black", linewidth=2.5, label="ID")
    points = {"linewidth": 1.2, "markersize": 4, "markevery": max(1, len(own.power) // 6)}
    for name, each in sets.items():
        axes.plot(each.frequency, each.power, **points, **styles[name])
    axes.axvspan(HIGH, own.frequency[-1], color="0.92", zorder=0)
    axes.set(yscale="log", xlabel="cycles a pixel (grey: high)", ylabel="power of the luminance")


def draw_gains(axes: Axes, rows: pd.DataFrame, styles: Styles) -> None:
    """Gain in points against the excess of high frequencies, an OOD set each, with standard deviations over seeds."""
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.axvline(0, color="0.6", linewidth=0.8)
    for row in rows.dropna(subset="mean").itertuples():
        style = {key: styles[row.ood_dataset][key] for key in ("color", "marker")}
        bars = {"elinewidth": 1, "capsize": 2, "linestyle": "", "markersize": 5}
        axes.errorbar(row.excess, 100 * row.mean, 100 * (0 if pd.isna(row.sd) else row.sd), **style, **bars)
    axes.set(xlabel="excess of high frequencies over ID (log2)", ylabel="AUROC gain (points)")


def figure_of_resampling(
    values: pd.DataFrame, correlations: pd.DataFrame, spectra: Spectra, titles: Mapping[str, str], note: str = ""
) -> Figure:
    """A row for each ID data set and network: the spectra, then the gain of each variant against the excess."""
    gained = values[values["column"].str.startswith(GAIN)]
    rows, columns = list(gained.groupby(["id_dataset", "network"], sort=False)), list(dict.fromkeys(gained["column"]))
    if gained["mean"].isna().all():
        return empty(f"There is no gain to be shown. {note}")
    styles = looks(list(dict.fromkeys(gained["ood_dataset"])), titles)
    figure, axes = panels(len(rows), 1 + len(columns), width=3.3, height=3)
    for line, ((id_dataset, network), table) in zip(axes, rows, strict=True):
        sets = {name: spectra[id_dataset][name] for name in dict.fromkeys(table["ood_dataset"])}
        draw_spectra(line[0], spectra[id_dataset][id_dataset], sets, styles)
        line[0].set_title(titles.get(id_dataset, id_dataset))
        for each, column in zip(line[1:], columns, strict=True):
            variant = column.removeprefix(GAIN)
            found = correlations.query("id_dataset == @id_dataset and network == @network and variant == @variant")
            rho = "".join(f"\nrank correlation {value:+.2f}" for value in found["rho"])
            draw_gains(each, table[table["column"] == column], styles)
            each.set_title(f"{variant_title(variant)} · {network_title(network)}{rho}")
        limits = [each.get_ylim() for each in line[1:]]
        for each in line[1:]:
            each.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    legend(figure)
    return annotated(figure, "Bars: standard deviation over seeds. Colours are ways, markers sources.", note)
