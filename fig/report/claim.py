"""The claim, that FIG raises a detector's AUROC, and what a run says about it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from fig.report.aurocs import beside_standard, on_shared_sets
from fig.report.names import COMMON, PATCHED
from fig.report.statistics import interval_over_seeds
from fig.report.svg import Axis, Mark, axis_around, strip
from fig.report.tables import SETTING, percent


@dataclass(frozen=True)
class Gain:
    """AUROC, averaged over OOD sets, less standard's of the same seed: mean over seeds, and Student's interval for it.

    Shares of one. Of one seed there is no interval: its ends are missing.
    """

    id_dataset: str
    network: str
    variant: str
    detector: str
    protocol: str
    standard: str  # mean ± sd in per cent, as text
    auroc: str
    mean: float
    low: float
    high: float
    up: int  # seeds whose AUROC rose
    seeds: int

    @property
    def place(self) -> tuple[str, ...]:
        """Where variants are comparable."""
        return self.id_dataset, self.network, self.detector, self.protocol

    @property
    def text(self) -> str:
        """The gain in points, with its interval."""
        told = f"{100 * self.mean:+.1f}"
        return told if self.seeds == 1 else f"{told} ({100 * self.low:+.1f} to {100 * self.high:+.1f})"


def gains_of(metrics: pd.DataFrame) -> list[Gain]:
    """Every variant's gain over standard on the OOD sets that all were scored on; the common detector's first."""
    scored = on_shared_sets(metrics[(metrics["metric"] == "auroc") & (metrics["protocol"] != "grid")])
    both = beside_standard(scored[[*SETTING, "seed", "ood_dataset", "value"]], "value").dropna()
    means = both.groupby([*SETTING, "seed"], sort=False)[["value", "value_of_standard"]].mean()
    found = []
    for setting, rows in means.groupby(SETTING, sort=False):
        own = (rows["value"] - rows["value_of_standard"]).to_numpy()
        texts = (percent(rows[name].mean(), rows[name].std()) for name in ("value_of_standard", "value"))
        ends = interval_over_seeds(own)
        found.append(Gain(*setting, *texts, float(own.mean()), *ends, int((own > 0).sum()), len(own)))
    return sorted(found, key=lambda gain: gain.detector != COMMON)


def claimed(gains: list[Gain]) -> Iterator[str]:
    """What a run says about the claim, in sentences: under the detector that all share, then under every one."""
    patched = [gain for gain in gains if gain.variant == PATCHED]
    common = [gain for gain in patched if gain.detector == COMMON]
    if not patched:
        yield f"This run compares no variant called {PATCHED} with a standard discriminator."
    if len(common) == 1:
        yield told(common[0])
    elif common:
        yield f"With the {COMMON} detector, {counted(common, 'pairs of ID data set and network')}"
    if len(patched) > len(common):
        yield f"Over all detectors, {counted(patched, 'combinations of ID data set, network, detector and protocol')}"


def told(gain: Gain) -> str:
    """A gain as a sentence."""
    return (
        f"On {gain.id_dataset} with {gain.network}, the {gain.detector} detector's AUROC over the OOD sets is "
        f"{gain.standard} % for standard and {gain.auroc} % for FIG: {gain.text} points, up for {gain.up} of "
        f"{gain.seeds} seeds. {certainty([gain])}"
    )


def counted(gains: list[Gain], what: str) -> str:
    """How often and by how much FIG raises AUROC."""
    means = [gain.mean for gain in gains]
    up = sum(mean > 0 for mean in means)
    return (
        f"FIG raises the AUROC over the OOD sets in {up} of {len(gains)} {what}, on average "
        f"by {100 * sum(means) / len(means):+.1f} points (from {100 * min(means):+.1f} to {100 * max(means):+.1f}). "
        f"{certainty(gains)}"
    )


def certainty(gains: list[Gain]) -> str:
    """How many of the gains are told from zero by their seeds."""
    repeated = [gain for gain in gains if gain.seeds > 1]
    if not repeated:
        return "Of one seed, it is not known how certain that is."
    above, below = sum(gain.low > 0 for gain in repeated), sum(gain.high < 0 for gain in repeated)
    if len(repeated) == 1:
        where = "lies above zero" if above else "lies below zero" if below else "contains zero"
        return f"The 95 % interval over seeds {where}."
    return (
        f"Of {len(repeated)} intervals over seeds (95 %), {above} lie above zero, {below} below it, and "
        f"{len(repeated) - above - below} contain it."
    )


def axis_of(gains: list[Gain]) -> Axis:
    """The axis of all strips, in points: it holds every mean, FIG's intervals, and zero."""
    ends = [100 * end for gain in gains if gain.variant == PATCHED for end in (gain.low, gain.high)]
    return axis_around("points", [100 * gain.mean for gain in gains], ends, [0.0])


def marked(gain: Gain) -> Mark:
    """A gain on a strip."""
    low, high = (gain.low, gain.high) if gain.seeds > 1 else (gain.mean, gain.mean)
    return Mark(f"{gain.variant}: {gain.text} points", 100 * gain.mean, 100 * low, 100 * high)


def strips(gains: list[Gain], shown: list[Gain], others: bool) -> list[Markup]:
    """A strip for each gain that is shown, with its interval; where `others`, before all gains in the same place."""
    axis = axis_of(gains)
    around = {own: [marked(g) for g in gains if others and g.place == own.place and g != own] for own in shown}
    return [strip([*around[own], marked(own)], axis) for own in shown]
