"""The claim, that FIG raises a detector's AUROC, and what a run says about it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from fig.report.charts import Axis, Mark, Pair, draw_pairs, draw_strip, fit_axis
from fig.report.measures import PATCHED, SETTING, gains_by_setting
from fig.report.results import group_by
from fig.report.statistics import interval_over_seeds
from fig.report.tables import format_percent


@dataclass(frozen=True)
class Gain:
    """AUROC, averaged over OOD sets, less standard's of the same seed: mean over seeds, and Student's interval for it.

    Shares of one. With one seed there is no interval: its ends are NaN.
    """

    id_dataset: str
    network: str
    variant: str
    detector: str
    protocol: str
    compared: bool  # whether the variant is compared with others under this detector
    standard: str  # mean ± sd in per cent, as text
    auroc: str
    mean: float
    low: float
    high: float
    up: int  # seeds whose AUROC rose
    pairs: tuple[Pair, ...]  # of each seed: standard's AUROC and the variant's, in per cent

    @property
    def seeds(self) -> int:
        """How many seeds the gain is over."""
        return len(self.pairs)

    @property
    def place(self) -> tuple[str, ...]:
        """What variants have in common that are drawn together."""
        return self.id_dataset, self.network, self.detector, self.protocol

    @property
    def text(self) -> str:
        """The gain in points, with its interval."""
        text = f"{100 * self.mean:+.1f}"
        return text if self.seeds == 1 else f"{text} ({100 * self.low:+.1f} to {100 * self.high:+.1f})"

    @property
    def mark(self) -> Mark:
        """The gain on a strip."""
        low, high = (self.low, self.high) if self.seeds > 1 else (self.mean, self.mean)
        return Mark(f"{self.variant}: {self.text} points", 100 * self.mean, 100 * low, 100 * high)


def list_gains(metrics: pd.DataFrame) -> list[Gain]:
    """Every variant's gain over standard under every detector; those by which variants are compared come first."""
    found = []
    for (*setting, compared), rows in gains_by_setting(metrics).groupby([*SETTING, "compared"], sort=False):
        gains = (rows["value"] - rows["standard"]).to_numpy()
        standard, auroc = (format_percent(rows[name].mean(), rows[name].std()) for name in ("standard", "value"))
        low, high = interval_over_seeds(gains)
        found.append(
            Gain(
                **dict(zip(SETTING, setting, strict=True)),
                compared=bool(compared),
                standard=standard,
                auroc=auroc,
                mean=float(gains.mean()),
                low=low,
                high=high,
                up=int((gains > 0).sum()),
                pairs=tuple(Pair(str(r.seed), 100 * r.standard, 100 * r.value) for r in rows.itertuples()),
            )
        )
    return sorted(found, key=lambda gain: not gain.compared)


def state_claim(gains: list[Gain]) -> Iterator[str]:
    """What a run says about the claim, in sentences: under the detectors that compare variants, then under all."""
    patched = [gain for gain in gains if gain.variant == PATCHED]
    compared = [gain for gain in patched if gain.compared]
    if not patched:
        yield f"This run compares no variant called {PATCHED} with a standard discriminator."
    if len(compared) == 1:
        yield describe_gain(compared[0])
    elif compared:
        detectors = " or ".join(dict.fromkeys(gain.detector for gain in compared))
        yield f"With the {detectors} detector, {count_gains(compared, 'pairs of ID data set and network')}"
    if len(patched) > len(compared):
        what = "combinations of ID data set, network, detector and protocol"
        yield f"Over all detectors, {count_gains(patched, what)}"


def describe_gain(gain: Gain) -> str:
    """A gain in a sentence."""
    return (
        f"On {gain.id_dataset} with {gain.network}, the {gain.detector} detector's AUROC over the OOD sets is "
        f"{gain.standard} % for standard and {gain.auroc} % for FIG: {gain.text} points, up for {gain.up} of "
        f"{gain.seeds} seeds. {describe_certainty([gain])}"
    )


def count_gains(gains: list[Gain], what: str) -> str:
    """How often and by how much FIG raises AUROC."""
    means = [gain.mean for gain in gains]
    up = sum(mean > 0 for mean in means)
    return (
        f"FIG raises the AUROC over the OOD sets in {up} of {len(gains)} {what}, on average "
        f"by {100 * sum(means) / len(means):+.1f} points (from {100 * min(means):+.1f} to {100 * max(means):+.1f}). "
        f"{describe_certainty(gains)}"
    )


def describe_certainty(gains: list[Gain]) -> str:
    """How many of the gains differ from zero by their intervals over seeds."""
    repeated = [gain for gain in gains if gain.seeds > 1]
    if not repeated:
        return "With one seed there is no confidence interval."
    above, below = sum(gain.low > 0 for gain in repeated), sum(gain.high < 0 for gain in repeated)
    if len(repeated) == 1:
        where = "lies above zero" if above else "lies below zero" if below else "contains zero"
        return f"The 95 % interval over seeds {where}."
    return (
        f"Of {len(repeated)} intervals over seeds (95 %), {above} lie above zero, {below} below it, and "
        f"{len(repeated) - above - below} contain it."
    )


def fit_gains(gains: list[Gain]) -> Axis:
    """The axis of all strips, in points: it holds every mean, FIG's intervals, and zero."""
    ends = [100 * end for gain in gains if gain.variant == PATCHED for end in (gain.low, gain.high)]
    return fit_axis("points", [100 * gain.mean for gain in gains], ends, [0.0])


def draw_gains(gains: list[Gain], shown: list[Gain], others: bool) -> list[Markup]:
    """Draw a strip for each gain that is shown, with its interval; `others`: among all gains in the same place."""
    axis = fit_gains(gains)
    around = group_by(gains if others else (), lambda gain: gain.place)
    return [draw_strip([*(g.mark for g in around.get(own.place, ()) if g != own), own.mark], axis) for own in shown]


def fit_pairs(gains: list[Gain]) -> Axis:
    """The axis of all drawings of pairs, in per cent."""
    return fit_axis("per cent", [end for gain in gains for pair in gain.pairs for end in (pair.before, pair.after)])


def draw_rows(gains: list[Gain], shown: list[Gain], others: bool) -> list[tuple[Gain, Markup, Markup]]:
    """Draw each gain that is shown twice: with its interval, and its seeds as pairs of dots, on the axes of all."""
    if not shown:
        return []
    axis = fit_pairs(gains)
    seeds = [draw_pairs(gain.pairs, axis) for gain in shown]
    return list(zip(shown, draw_gains(gains, shown, others), seeds, strict=True))
