"""Measures selected, compared and averaged: the only module that does. Values are shares of one, and NaN where missing.

One policy says what is comparable, for every table, figure and page:

- Each variant of a network on an ID data set has one detector by which it is compared with others: a detector that
  comes with a method (deconf) where the variant is scored by it; otherwise `baseline` where a study has it; otherwise
  the first detector of its studies.
- Of a detector with settings, those count that ID images alone choose: protocols are "" (no settings) and "id-only".
- What the studies ask for is averaged over all OOD sets that they name, and over all seeds: the mean is missing where
  one value is. Where nothing is asked for (the comparison of a whole run), it is averaged over the OOD sets that
  everything of an ID data set and network was scored on.
- A gain over standard, or a difference between variants, is paired: by seed, and by OOD set.
"""

from collections.abc import Iterable, Sequence
from itertools import product

import pandas as pd

from fig.detectors.table import DETECTORS
from fig.metrics import harmonic_mean
from fig.study.selection import Key, Selection, Study

STANDARD = "standard"  # the variant before patching
PATCHED = "fig"  # the variant that the claim is about
COMMON = "baseline"  # the detector by which variants are compared, where a study has it
OWN_DETECTORS = tuple(name for name, row in DETECTORS.items() if row.method)  # which come with a method
COMPARABLE = ("", "id-only")  # protocols
ACCURACY = "accuracy"  # of a discriminator, the same for all its detectors

PLACE = ["id_dataset", "network"]
NAMES = [*PLACE, "variant"]
SCORED = [*NAMES, "seed", "ood_dataset"]
SCORER = [*NAMES, "detector"]
SETTING = [*SCORER, "protocol"]  # what the comparison compares


# Select


def choose_detector(detectors: Iterable[str]) -> str:
    """The one of these detectors by which a variant is compared."""
    found = list(detectors)
    own = [name for name in found if name in OWN_DETECTORS]
    return own[0] if own else COMMON if COMMON in found else found[0]


def ask(studies: Sequence[Study]) -> pd.DataFrame:
    """What the studies ask of every seed: NAMES, detector and ood_dataset, a row for each."""
    rows = [
        (*where, variant, detector, ood)
        for study in studies
        for where in product(study.id_datasets, study.networks)
        for ood in study.ood_datasets
        for variant in study.variants
        for detector in study.detectors
    ]
    return pd.DataFrame(rows, columns=[*NAMES, "detector", "ood_dataset"]).drop_duplicates(ignore_index=True)


def ask_comparable(studies: Sequence[Study]) -> pd.DataFrame:
    """What the studies ask of every seed, each variant under the one detector by which it is compared."""
    asked = ask(studies)
    chosen = {names: choose_detector(rows["detector"]) for names, rows in asked.groupby(NAMES)}
    detectors = [chosen[names] for names in asked[NAMES].itertuples(index=False, name=None)]
    return asked.assign(detector=detectors).drop_duplicates(ignore_index=True)


def ask_groups(studies: Sequence[Study]) -> pd.DataFrame:
    """What the studies ask of every seed, with the group of each OOD set: the columns of `ask`, and group."""
    parts = [pd.DataFrame(columns=[*NAMES, "detector", "ood_dataset", "group"])]
    for study in studies:
        members = [(name, group) for group, names in study.groups.items() for name in names]
        parts.append(ask([study]).merge(pd.DataFrame(members, columns=["ood_dataset", "group"]), on="ood_dataset"))
    return pd.concat(parts, ignore_index=True).drop_duplicates(ignore_index=True)


def find_values(
    metrics: pd.DataFrame, asked: pd.DataFrame, seeds: Sequence[int], metric: str = "auroc"
) -> pd.DataFrame:
    """A metric of all that is asked of every seed: the columns of `asked`, seed and value, NaN where it is missing."""
    rows = asked.merge(pd.DataFrame({"seed": list(seeds)}), how="cross")
    on = list(rows.columns)
    found = metrics.loc[metrics["metric"] == metric, [*on, "value"]].drop_duplicates(on)
    return rows.merge(found.astype({"seed": int, "value": float}), on=on, how="left")


def find_comparable(metrics: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """The comparable AUROC of all that a selection asks for: SCORED and value, NaN where it is missing."""
    comparable = metrics[metrics["protocol"].isin(COMPARABLE)]
    values = find_values(comparable, ask_comparable(selection.studies), selection.seeds)
    return values[[*SCORED, "value"]]


def find_by_protocol(metrics: pd.DataFrame, selection: Selection, variants: Sequence[str]) -> pd.DataFrame:
    """The AUROC of these variants under every detector and protocol: SETTING, seed, ood_dataset and value.

    A detector that never scored anything is taken to have no protocol.
    """
    asked = ask(selection.studies)
    scored = metrics.loc[metrics["protocol"] != "grid", ["detector", "protocol"]]
    protocols = asked.merge(scored.drop_duplicates(), on="detector", how="left").fillna({"protocol": ""})
    return find_values(metrics, protocols[protocols["variant"].isin(variants)], selection.seeds)


def find_by_group(metrics: pd.DataFrame, selection: Selection, measures: Sequence[str]) -> pd.DataFrame:
    """Comparable values of these metrics of all variants under all detectors on the OOD sets of every group.

    The columns are those of `ask_groups`, seed, measure and value.
    """
    comparable, asked = metrics[metrics["protocol"].isin(COMPARABLE)], ask_groups(selection.studies)
    sets = asked.drop(columns="group").drop_duplicates()
    parts = [find_values(comparable, sets, selection.seeds, name).assign(measure=name) for name in measures]
    return pd.concat(parts, ignore_index=True).merge(asked, on=list(sets))


def find_accuracies(metrics: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """The accuracy of every discriminator that is asked for: SCORER, seed, value, measure, and an empty group."""
    own = metrics.loc[metrics["metric"] == ACCURACY, [*NAMES, "seed", "value"]].drop_duplicates([*NAMES, "seed"])
    found = asked[[*SCORER, "seed"]].drop_duplicates().merge(own, on=[*NAMES, "seed"], how="left")
    return found.assign(measure=ACCURACY, group="")


def find_lacking(values: pd.DataFrame) -> list[Key]:
    """The discriminators of which a value is missing."""
    rows = values.loc[values["value"].isna(), [*NAMES, "seed"]].drop_duplicates()
    return list(rows.itertuples(index=False, name=None))


def is_compared(metrics: pd.DataFrame) -> pd.Series:
    """Which rows of a run's metrics are comparable, each variant under the one detector by which it is compared."""
    scored = metrics[metrics["detector"] != ""]
    chosen = {(*names, choose_detector(rows["detector"])) for names, rows in scored.groupby(NAMES)}
    found = pd.MultiIndex.from_frame(metrics[[*NAMES, "detector"]]).isin(chosen)
    return metrics["protocol"].isin(COMPARABLE) & found


def select_shared_sets(metrics: pd.DataFrame) -> pd.DataFrame:
    """The rows on those OOD sets that everything of an ID data set and network was scored on, so that means compare.

    Rows of no OOD set stay.
    """
    scored = metrics[metrics["ood_dataset"] != ""]
    units = scored[[*NAMES, "seed", "detector", "ood_dataset"]].drop_duplicates()
    scorings = units.groupby([*PLACE, "ood_dataset"]).size()
    everything = units.drop(columns="ood_dataset").drop_duplicates().groupby(PLACE).size()
    shared = scorings[scorings == everything.reindex(scorings.index.droplevel("ood_dataset")).to_numpy()].index
    kept = pd.MultiIndex.from_frame(metrics[[*PLACE, "ood_dataset"]]).isin(shared)
    return metrics[kept | (metrics["ood_dataset"] == "")]


# Average


def average_over_sets(values: pd.DataFrame) -> pd.DataFrame:
    """Means over OOD sets, NaN where one value is."""
    by = [name for name in values.columns if name not in ("ood_dataset", "value")]
    found = values.groupby(by, sort=False)["value"].agg(["mean", "count", "size"]).reset_index()
    return found[by].assign(value=found["mean"].where(found["count"] == found["size"]))


def average_over_seeds(values: pd.DataFrame, by: Sequence[str], partly: bool = False, ddof: int = 1) -> pd.DataFrame:
    """Mean and standard deviation over seeds, and how many there are: the columns `by`, mean, sd, seeds.

    A mean is NaN where one seed is missing; `partly`: it is over the seeds that are there. One seed has no deviation.
    The deviation is the sample's or, with `ddof` 0, the population's.
    """
    grouped = values.groupby(list(by), sort=False)["value"]
    found = grouped.agg(mean="mean", seeds="count", size="size")
    found.insert(1, "sd", grouped.std(ddof=ddof).where(found["seeds"] > 1))
    if not partly:
        found[["mean", "sd"]] = found[["mean", "sd"]].where(found["seeds"] == found["size"])
    return found.drop(columns="size").reset_index()


def gather_rows(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The rows with those of equal `by` together, both as they come."""
    return table.iloc[table.groupby(list(by), sort=False).ngroup().argsort(kind="stable")].reset_index(drop=True)


# Compare


def pair_with_controls(values: pd.DataFrame, controls: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each variant once for each of its controls, whose value is in `other`.

    `controls` has the columns NAMES and control. The two values agree in seed and in all other columns; a missing value
    of the control is NaN.
    """
    others = values.rename(columns={"variant": "control", "value": "other"})
    on = [name for name in others.columns if name != "other"]
    return values.merge(controls, on=NAMES).merge(others, on=on, how="left")


def pair_with_standard(values: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of all variants except standard, each with the standard discriminator's value in `standard`."""
    patched = values.loc[values["variant"] != STANDARD, NAMES].drop_duplicates()
    pairs = pair_with_controls(values, patched.assign(control=STANDARD))
    return pairs.drop(columns="control").rename(columns={"other": "standard"})


def gains_over_standard(values: pd.DataFrame) -> pd.DataFrame:
    """The gain of each variant over standard, in place of its value.

    Raises ValueError where the standard discriminator is not asked for.
    """
    if STANDARD not in set(values["variant"]):
        raise ValueError("an improvement is over the standard discriminator: name standard in the study's variants")
    pairs = pair_with_standard(values)
    return pairs.assign(value=pairs["value"] - pairs.pop("standard"))


def gains_over_controls(values: pd.DataFrame, studies: Sequence[Study]) -> pd.DataFrame:
    """The gain of each variant over each of its controls, in place of its value, with the column `control`.

    A gain is NaN where one of the two values is missing.
    """
    named = [
        (*where, variant, control)
        for study in studies
        for where in product(study.id_datasets, study.networks)
        for variant, controls in study.controls.items()
        for control in controls
    ]
    pairs = pair_with_controls(values, pd.DataFrame(named, columns=[*NAMES, "control"]).drop_duplicates())
    return pairs.assign(value=pairs["value"] - pairs.pop("other"))


def gains_by_setting(metrics: pd.DataFrame) -> pd.DataFrame:
    """Every variant's AUROC over the shared OOD sets and that of standard: SETTING, seed, value, standard, compared.

    `compared` is whether the setting is the one by which the variant is compared with others.
    """
    scored = metrics[(metrics["metric"] == "auroc") & (metrics["protocol"] != "grid")]
    scored = select_shared_sets(scored.assign(compared=is_compared(scored)))
    pairs = pair_with_standard(scored[[*SETTING, "seed", "ood_dataset", "value"]]).dropna()
    means = pairs.groupby([*SETTING, "seed"], sort=False)[["value", "standard"]].mean().reset_index()
    return means.merge(scored[[*SETTING, "compared"]].drop_duplicates(SETTING), on=SETTING, how="left")


def add_harmonic_means(aurocs: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Averaged AUROCs with each discriminator's accuracy, and the harmonic mean of both."""
    own = metrics.loc[metrics["metric"] == "accuracy", [*NAMES, "seed", "value"]].rename(columns={"value": "accuracy"})
    both = aurocs.merge(own.astype({"seed": int}), on=[*NAMES, "seed"], how="left")
    means = [harmonic_mean(auroc, accuracy) for auroc, accuracy in zip(both["value"], both["accuracy"], strict=True)]
    return both.assign(harmonic_mean=means)


def tidy_by_seed(metrics: pd.DataFrame) -> pd.DataFrame:
    """Each seed's measures: the columns SETTING, seed, measure, value.

    `metrics` holds the rows of `metrics.csv`. A detector's metrics are averaged over the shared OOD sets, and
    `auroc.<OOD set>` is each set's own. `gain` is the averaged AUROC less that of the standard discriminator of the
    same seed; the harmonic mean is that of averaged AUROC and accuracy.
    """
    keys = [*SETTING, "seed"]
    scored = metrics[(metrics["detector"] != "") & (metrics["protocol"] != "grid")]
    shared = select_shared_sets(scored).groupby([*keys, "metric"], sort=False)["value"].mean()
    averaged = shared.unstack("metric", sort=False)
    of_sets = scored[scored["metric"] == "auroc"].assign(metric=lambda rows: "auroc." + rows["ood_dataset"])
    own = metrics[metrics["detector"] == ""].drop(columns=["detector", "protocol"])
    own = own.merge(scored[keys].drop_duplicates(), on=[*NAMES, "seed"])
    accuracy = own[own["metric"] == "accuracy"].set_index(keys)["value"].reindex(averaged.index)
    aurocs = averaged.get("auroc", accuracy)  # none where nothing is scored
    averaged["harmonic_mean"] = list(map(harmonic_mean, aurocs, accuracy))
    averaged = averaged.stack(future_stack=True).dropna().rename("value").reset_index()
    gains = pair_with_standard(averaged[averaged["metric"] == "auroc"]).dropna().assign(metric="gain")
    gains["value"] -= gains["standard"]
    values = pd.concat([averaged, of_sets, own, gains], ignore_index=True)[[*keys, "metric", "value"]]
    return values.rename(columns={"metric": "measure"})


def compare_all(metrics: pd.DataFrame) -> pd.DataFrame:
    """Everything of a run compared, in tidy form: the columns SETTING, measure, mean, sd, seeds.

    `sd` is the sample standard deviation over seeds, NaN where there is one seed. Rows keep the metrics' order.
    """
    return average_over_seeds(tidy_by_seed(metrics), [*SETTING, "measure"], partly=True)


def difference_to(values: pd.DataFrame, variant: str) -> pd.DataFrame:
    """AUROC of FIG less that of a variant: rows are seeds, columns ID data set, network and OOD set; NaN where missing.

    Columns are those that both are asked for.
    """
    places = [*PLACE, "ood_dataset"]
    both = {name: values[values["variant"] == name] for name in (PATCHED, variant)}
    sets = [rows[places].drop_duplicates() for rows in both.values()]
    columns = pd.MultiIndex.from_frame(sets[0].merge(sets[1], on=places))
    seeds = list(dict.fromkeys(values["seed"]))
    wide = {name: rows.pivot(index="seed", columns=places, values="value") for name, rows in both.items()}
    fig, other = (wide[name].reindex(index=seeds, columns=columns) for name in (PATCHED, variant))
    return fig - other


def select_to_rank(values: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """AUROC to be ranked, the mean over seeds: rows are OOD sets of an ID data set and network, columns variants.

    Only rows that are asked of every variant and lack no seed; the second value is how many lack one.
    """
    places = [*PLACE, "ood_dataset"]
    variants = values["variant"].unique()
    asked = values.groupby(places, sort=False)["variant"].nunique()
    of_all = asked.index[asked == len(variants)]
    means = average_over_seeds(values, [*places, "variant"]).set_index([*places, "variant"])["mean"]
    table = means.unstack("variant").reindex(index=of_all, columns=variants).dropna()
    return table, len(of_all) - len(table)
