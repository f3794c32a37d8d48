"""Tables: discriminators compared, mean and standard deviation over seeds, from the tidy metrics of a run."""

import pandas as pd

from fig.metrics import harmonic_mean
from fig.report.aurocs import beside_standard, on_shared_sets
from fig.report.render import Table

NAMES = ["id_dataset", "network", "variant"]
SETTING = [*NAMES, "detector", "protocol"]  # what is compared; seeds are averaged over

# Measures, as shares of one, and their headings; the arrow says which way is better.
HEADINGS = {
    "auroc": "AUROC ↑",
    "gain": "AUROC gain over standard ↑",
    "fpr95_id_positive": "FPR at 95 % TPR ↓",
    "fpr95_ood_positive": "FPR at 95 % TPR, OOD positive ↓",
    "detection_error": "detection error ↓",
    "aupr_in": "AUPR in ↑",
    "aupr_out": "AUPR out ↑",
    "accuracy": "accuracy ↑",
    "calibration_error": "calibration error ↓",
    "harmonic_mean": "harmonic mean ↑",
    "sample_confidence": "confidence on own samples ↓",
}


def values_by_seed(metrics: pd.DataFrame) -> pd.DataFrame:
    """Each seed's measures: columns id_dataset, network, variant, detector, protocol, seed, measure, value.

    `metrics` holds the rows of `metrics.csv`. A detector's metrics are averaged over the OOD sets that everything of an
    ID data set and network was scored on, and `auroc.<OOD set>` is each set's own. `gain` is the averaged AUROC less
    that of the standard discriminator of the same seed; the harmonic mean is that of averaged AUROC and accuracy.
    """
    keys = [*SETTING, "seed"]
    scored = metrics[(metrics["detector"] != "") & (metrics["protocol"] != "grid")]
    averaged = (
        on_shared_sets(scored).groupby([*keys, "metric"], sort=False)["value"].mean().unstack("metric", sort=False)
    )
    of_sets = scored[scored["metric"] == "auroc"].assign(metric=lambda rows: "auroc." + rows["ood_dataset"])
    own = metrics[metrics["detector"] == ""].drop(columns=["detector", "protocol"])
    own = own.merge(scored[keys].drop_duplicates(), on=[*NAMES, "seed"])
    accuracy = own[own["metric"] == "accuracy"].set_index(keys)["value"].reindex(averaged.index)
    averaged["harmonic_mean"] = list(map(harmonic_mean, averaged["auroc"], accuracy))
    averaged = averaged.stack(future_stack=True).dropna().rename("value").reset_index()
    gains = beside_standard(averaged[averaged["metric"] == "auroc"], "value").dropna().assign(metric="gain")
    gains["value"] -= gains["value_of_standard"]
    values = pd.concat([averaged, of_sets, own, gains], ignore_index=True)[[*keys, "metric", "value"]]
    return values.rename(columns={"metric": "measure"})


def comparison(metrics: pd.DataFrame) -> pd.DataFrame:
    """The comparison in tidy form: id_dataset, network, variant, detector, protocol, measure, mean, sd, seeds.

    `sd` is the sample standard deviation over seeds, missing where there is one seed. Rows keep the metrics' order.
    """
    grouped = values_by_seed(metrics).groupby([*SETTING, "measure"], sort=False)["value"]
    return grouped.agg(mean="mean", sd="std", seeds="count").reset_index()


def percent(mean: float, sd: float, signed: bool = False) -> str:
    """A share and its standard deviation in per cent, as `86.9 ± 2.3`; nothing where there is no mean."""
    if pd.isna(mean):
        return ""
    text = f"{100 * mean:+.1f}" if signed else f"{100 * mean:.1f}"
    return text if pd.isna(sd) else f"{text} ± {100 * sd:.1f}"


def readable(compared: pd.DataFrame, id_dataset: str) -> pd.DataFrame:
    """The comparison on one ID data set for people: a row for each discriminator and detector, cells as text."""
    rows = compared[compared["id_dataset"] == id_dataset]
    sets = [measure for measure in rows["measure"].unique() if measure.startswith("auroc.")]
    headings = {"auroc": HEADINGS["auroc"], **{name: f"AUROC {name.removeprefix('auroc.')} ↑" for name in sets}}
    headings |= HEADINGS
    shown = rows[rows["measure"].isin(headings)]
    cells = shown.assign(
        cell=[percent(r.mean, r.sd, r.measure == "gain") for r in shown.itertuples()],
        measure=shown["measure"].map(headings),
    )
    order = list(dict.fromkeys(map(tuple, rows[SETTING].to_numpy())))
    wide = cells.pivot(index=SETTING, columns="measure", values="cell").reindex(order)
    wide = wide[[heading for heading in headings.values() if heading in wide]].fillna("")
    seeds = rows[rows["measure"] == "auroc"].set_index(SETTING)["seeds"]
    table = wide.assign(seeds=seeds).rename_axis(columns=None).reset_index().drop(columns="id_dataset")
    return table if table["protocol"].any() else table.drop(columns="protocol")


def tables_of(compared: pd.DataFrame) -> list[Table]:
    """The comparison for people, a table for each ID data set."""
    told = (
        "per cent, mean ± standard deviation over seeds; averages are over the OOD sets that all were scored on. Where "
        "a detector's settings are to be chosen, `oracle` chooses on each test OOD set, `id-only` with ID images alone"
    )
    names = compared["id_dataset"].unique()
    return [Table(f"comparison-{name}", f"{name}: {told}", readable(compared, name)) for name in names]


def durations(timings: pd.DataFrame) -> pd.DataFrame:
    """Time by stage, for people: jobs, their hours, and mean seconds of a job and of its parts, as text.

    `timings` has a row for each job: stage, started, ended (seconds since the epoch), startup, ray, tracking. What is
    none of the last three is the stage's own work.
    """
    overheads = {"startup": "starting Python", "ray": "Ray", "tracking": "MLflow"}
    times = timings.sort_values("started").assign(total=timings["ended"] - timings["started"])
    times["work"] = times["total"] - times[list(overheads)].sum(axis="columns")
    grouped = times.groupby("stage", sort=False)
    shown = grouped[["total", "work", *overheads]].mean().map("{:.1f}".format)
    shown.insert(0, "jobs", grouped.size())
    shown.insert(1, "hours, together", (grouped["total"].sum() / 3600).map("{:.2f}".format))
    return shown.reset_index().rename(columns={"total": "seconds a job", "work": "own work", **overheads})
