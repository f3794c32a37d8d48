"""FIG compared with each other method on the same OOD sets and seeds: differences, intervals, and ranks of all."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fig.report import paper
from fig.report.measures import PATCHED, PLACE, difference_to, find_comparable, find_lacking, select_to_rank
from fig.report.paper import AVERAGE
from fig.report.plots import DPI, make_empty
from fig.report.results import Results, describe_missing, list_reasons
from fig.report.statistics import Ranks, interval_over_both, interval_over_seeds, rank_methods
from fig.report.tables import Table, format_interval, format_points
from fig.report.targets import Made
from fig.report.titles import split_ood_name
from fig.study.selection import Selection

ALL = "all"
COLUMNS = [*PLACE, "variant", "difference", "low", "high", "low_both", "high_both", "seeds", "ood_datasets", "better"]
COLUMNS += ["paper", "reason"]
FIG_COLOUR, COLOUR = "#b5322a", "#2e4057"
CAPTION = "AUROC averaged over OOD sets, FIG's less the other's, in points of per cent"
INTERVALS = (
    "Over seeds: Student's interval of the averages of {} seeds, OOD sets as they are. Over seeds and sources: "
    "bootstrap that resamples seeds and sources of OOD images, each with all its sets; with few of either it is too "
    "narrow (three and four: 75 to 82 % in simulations). Intervals are not corrected for their number."
)
RANKED = (
    "The figure of ranks joins methods whose difference is below Nemenyi's critical difference at 5 %. It takes OOD "
    "sets as independent, which a source's (r) and (c) are not, so it is smaller than it should be."
)

Wide: TypeAlias = pd.DataFrame  # differences; rows are seeds, columns ID data set, network and OOD set


def make(results: Results, selection: Selection) -> Made:
    """Compare FIG with each other method in pairs, and rank all of them."""
    values = find_comparable(results.metrics, selection)
    lacking = find_lacking(values)
    table = compare_pairs(values, results, selection)
    notes = [
        *(["† The difference has another sign than in the paper."] if find_opposed(table).any() else []),
        INTERVALS.format(len(selection.seeds)),
        RANKED,
        *(paper.note_other_sets(selection) if table["paper"].notna().any() else ()),
        *describe_missing({key: results.reason(key) for key in lacking}),
    ]
    return Made((Table(CAPTION, lay_out_pairs(table), notes),), table, *draw_ranks(*select_to_rank(values)))


def compare_pairs(values: pd.DataFrame, results: Results, selection: Selection) -> pd.DataFrame:
    """FIG and each other method, on each ID data set and network, then on all of them that lack no seed.

    Columns are COLUMNS: `low` and `high` bound the interval over seeds, `low_both` and `high_both` that over seeds and
    sources, `better` counts the OOD sets on which FIG is better, `paper` is the paper's difference. Shares of one.
    """
    lacking = find_lacking(values)
    wides = {name: difference_to(values, name) for name in values["variant"].unique() if name != PATCHED}
    places: list[tuple[str, str]] = list(dict.fromkeys(values[PLACE].itertuples(index=False, name=None)))
    printed = paper.read_by_method()
    rows = []
    for place in places:
        for name, wide in wides.items():
            here = wide.loc[:, wide.columns.droplevel("ood_dataset") == place]
            if not here.columns.empty:
                keys = [key for key in lacking if key[:3] in ((*place, PATCHED), (*place, name))]
                found = {"paper": find_printed(printed, *place, name, selection.titles), **summarize(here)}
                names = {**dict(zip(PLACE, place, strict=True)), "variant": name}
                rows.append({**names, **found, "reason": list_reasons(keys, results)})
    if len(places) > 1:
        rows += [{"variant": name, **summarize_all(wide)} for name, wide in wides.items()]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"difference": float, "paper": float})


def summarize(wide: Wide) -> dict[str, object]:
    """Mean and intervals of the differences of those seeds that have all OOD sets."""
    whole = wide.dropna()
    values = whole.to_numpy(float)
    if not values.size:
        return {"seeds": 0, "ood_datasets": wide.shape[1]}
    low, high = interval_over_seeds(values.mean(axis=1))
    sources = [split_ood_name(name)[0] for name in wide.columns.get_level_values("ood_dataset")]
    low_both, high_both = interval_over_both(values, sources)
    return {
        "difference": values.mean(),
        "low": low,
        "high": high,
        "low_both": low_both,
        "high_both": high_both,
        "seeds": len(whole),
        "ood_datasets": wide.shape[1],
        "better": int((values.mean(axis=0) > 0).sum()),
    }


def summarize_all(wide: Wide) -> dict[str, object]:
    """The same on all ID data sets and networks that no seed lacks, every OOD set counting alike."""
    pairs = wide.columns.droplevel("ood_dataset")
    lacking = set(pairs[wide.isna().any()])
    network = f"{ALL} but {len(lacking)}" if lacking else ALL
    return {"id_dataset": ALL, "network": network, **summarize(wide.loc[:, ~pairs.isin(lacking)]), "reason": ""}


def find_printed(
    printed: pd.DataFrame, id_dataset: str, network: str, variant: str, titles: Mapping[str, str]
) -> float:
    """By how much FIG's average exceeds a method's in the paper's Tables 2 and 3; NaN where it has none."""
    here = printed[(printed["id_dataset"] == titles.get(id_dataset, id_dataset)) & (printed["network"] == network)]
    averages = here[here["ood_dataset"] == AVERAGE].set_index("column")["paper"]
    return float(averages.get(PATCHED, np.nan) - averages.get(variant, np.nan))


def find_opposed(table: pd.DataFrame) -> pd.Series:
    """Whether a difference has another sign than in the paper."""
    return table["difference"] * table["paper"] < 0


def lay_out_pairs(table: pd.DataFrame) -> pd.DataFrame:
    """The comparison as text."""
    headings = [*PLACE, "FIG less", "difference", "95 % over seeds", "95 % over seeds and sources"]
    headings += ["FIG is better on", "the paper's", "seeds"]
    rows = [
        (
            row.id_dataset,
            row.network,
            row.variant,
            format_points(row.difference) + (" †" if opposed else ""),
            format_interval(row.low, row.high),
            format_interval(row.low_both, row.high_both),
            f"{row.better:.0f} of {row.ood_datasets} OOD sets" if row.seeds else "",
            format_points(row.paper),
            str(row.seeds),
        )
        for row, opposed in zip(table.itertuples(), find_opposed(table), strict=True)
    ]
    return pd.DataFrame(rows, columns=headings)


def draw_ranks(values: pd.DataFrame, dropped: int) -> tuple[Figure, pd.DataFrame]:
    """Draw the ranks of methods by values (blocks, methods), and give them as a table.

    Blocks are OOD sets of an ID data set and network; `dropped` are those that are left out, as they lack seeds.
    """
    left_out = f"; {dropped} more lack seeds" if dropped else ""
    if values.empty or values.shape[1] < 2:
        return make_empty(f"There is nothing to rank{left_out}."), pd.DataFrame(columns=["variant", "mean_rank"])
    found = rank_methods(values.columns, values.to_numpy())
    p_value = "" if np.isnan(found.p_value) else f", Friedman p = {found.p_value:.2g}"
    blocks = f"{found.blocks} triples of ID data set, network and OOD set that all share{left_out}"
    table = pd.DataFrame({"variant": found.methods, "mean_rank": found.means}).sort_values("mean_rank")
    table = table.assign(blocks=found.blocks, critical_difference=found.critical, friedman_p=found.p_value)
    return draw_diagram(found, f"Mean rank of AUROC{p_value}\nover {blocks}"), table


def draw_diagram(found: Ranks, title: str) -> Figure:
    """Draw methods by mean rank, with bars over groups that do not differ significantly (Demšar, 2006)."""
    from scikit_posthocs import critical_difference_diagram  # slow to import

    means = pd.Series(found.means, index=found.methods)
    apart = np.abs(np.subtract.outer(found.means, found.means)) > found.critical
    p_values = pd.DataFrame(np.where(apart, 0.0, 1.0), found.methods, found.methods)
    figure = Figure(figsize=(7.5, 1.9 + 0.24 * len(means)), layout="constrained", dpi=DPI)
    axes = figure.subplots()
    critical_difference_diagram(
        means,
        p_values,
        ax=axes,
        label_fmt_left="{label}  {rank:.2f}  ",
        label_fmt_right="  {rank:.2f}  {label}",
        color_palette={name: FIG_COLOUR if name == PATCHED else COLOUR for name in means.index},
        text_h_margin=0.3,
    )
    ends = [means.min(), means.min() + found.critical]
    axes.plot(ends, [1.2, 1.2], color="black", linewidth=1.5, marker="|")  # the library's own crosses the ticks' labels
    axes.text(sum(ends) / 2, 1.3, f"critical difference {found.critical:.2f}", ha="center", va="bottom")
    axes.set_title(title, fontsize="medium", loc="left", pad=12)
    return figure
