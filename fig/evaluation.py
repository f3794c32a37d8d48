"""Score a discriminator under all its detectors, in one pass over each data set, and compute the metrics."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fig import parallel
from fig.data.arrays import Split
from fig.data.batches import images_on, labels_of
from fig.detectors.protocol import Detector, Observer, Ready, Scorer, Seen, SplitScorer, Subject, score_batch
from fig.discriminator import Discriminator
from fig.frozen import frozen
from fig.memory import halve_until_it_fits
from fig.metrics import OOD_METRICS, auroc, auroc_interval, calibration_error, harmonic_mean
from fig.networks.outputs import prefix_of
from fig.networks.table import NETWORKS, UNKNOWN
from fig.networks.taps import Tap, tap_modules
from fig.precision import computing
from fig.seeding import generator
from fig.settings import EvaluationSettings

HELD_OUT = 0.1  # share of the training images that no detector is fitted to, and
MOST_HELD_OUT = 1000  # how many of them at most
PROTOCOLS = ("oracle", "id-only")  # who chooses a detector's setting: each test OOD set, or ID images alone

MetricRow = dict[str, str | float]
Grid = NDArray[np.float64]  # (N, settings)
Scores = NDArray[np.float64]  # (N,)


ALL = EvaluationSettings()


@dataclass(frozen=True)
class Evaluated:
    """Scores of images of one data set."""

    rows: Tensor  # (N,): which images
    grids: Mapping[str, Grid]  # by detector: (N, settings)
    logits: Tensor  # (N, C)


def subject_of(discriminator: Discriminator) -> Subject:
    """Describe a discriminator to detectors: its stages are the taps of its card or, without any, the network's.

    The stages of FIG's own networks, with the stem, come from their table; those of other networks are searched for.
    """
    architecture, device = discriminator.architecture, discriminator.device
    _, unit = discriminator.range
    example = torch.zeros(1, *discriminator.shape, device=device)
    row = UNKNOWN if architecture.factory else NETWORKS[architecture.network]
    names = architecture.taps or (*row.stem, *row.stages)
    names = tuple(f"{prefix_of(discriminator.network)}{name}" for name in names)
    return Subject(discriminator.network, architecture.classes, unit, example, names)


def looked_at(detectors: Mapping[str, Detector], discriminator: Discriminator) -> tuple[Subject, dict[str, Tap]]:
    """Return the description of a discriminator for detectors, and the taps of all detectors.

    Raises ValueError naming a detector that cannot judge it, the network and the reason.
    """
    subject = subject_of(discriminator)
    named = f"the network {discriminator.architecture.network}"
    return subject, {key: tap for name, each in detectors.items() for key, tap in taps_of(name, each, subject, named)}


def taps_of(name: str, detector: Detector, subject: Subject, network: str) -> Iterable[tuple[str, Tap]]:
    """Return the taps of the detector of this name; raises ValueError with the reason if it cannot judge `network`."""
    try:
        return detector.taps(subject).items()
    except ValueError as error:
        raise ValueError(f"detector {name} cannot judge {network}: {error}") from error


def seen_in_turn(
    discriminator: Discriminator, taps: Mapping[str, Tap], data: Split, rows: Tensor, batch: int
) -> Iterator[Seen]:
    """Yield what the frozen network gives for these rows of a split, a batch at a time.

    A batch that does not fit into the device's memory runs in halves. Raises ValueError, after the last batch, if a
    value of the network is not finite: checking each batch would wait for the device.
    """
    finite: dict[str, Tensor] = {}  # by place
    for chosen in rows.split(batch):
        for seen in halve_until_it_fits(lambda part: seen_at(discriminator, taps, data, part), chosen):
            for name, values in {"logits": seen.logits, **seen.kept}.items():
                finite[name] = finite.get(name, True) & values.isfinite().all()
            yield seen
    for name, all_finite in finite.items():
        if not all_finite:
            raise ValueError(f"the discriminator's {name} are not finite for some images: it cannot be evaluated")


def seen_at(discriminator: Discriminator, taps: Mapping[str, Tap], data: Split, rows: Tensor) -> Seen:
    """Return what the frozen network gives for these rows of a split."""
    square = images_on(discriminator.device, data, rows)
    inputs = discriminator.scaled(centred(square, discriminator.architecture.size))
    return see_inputs(discriminator.network, taps, rows, inputs)


def see_inputs(network: nn.Module, taps: Mapping[str, Tap], rows: Tensor, inputs: Tensor) -> Seen:
    """Return what a frozen network gives for inputs (B, channels, h, w), which have these rows in their data set."""
    with tap_modules(network, taps) as kept, torch.no_grad():  # not for the detectors' own passes
        logits = network(inputs)
    return Seen(rows, inputs.contiguous(memory_format=torch.channels_last), logits, kept)


def centred(images: Tensor, size: int) -> Tensor:
    """Return the centre of images (B, 3, h, w), `size` pixels a side, because training images may be stored larger."""
    top, left = (images.shape[2] - size) // 2, (images.shape[3] - size) // 2
    return images[:, :, top : top + size, left : left + size]


def some(count: int, most: int) -> Tensor:
    """Return rows of `count` images in rising order: all of them or, if `most` is not 0, `most` by a fixed seed."""
    if not most or most >= count:
        return torch.arange(count)
    return torch.randperm(count, generator=generator(0, "evaluation"))[:most].sort().values


def hold_out(rows: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Split rows (N,) into a seeded share that is held out and the rest, both in rising order."""
    part = max(1, min(round(HELD_OUT * len(rows)), MOST_HELD_OUT))
    order = torch.randperm(len(rows), generator=generator(seed, "held-out"))
    held_out, rest = (rows[these].sort().values for these in order.split([part, len(rows) - part]))
    return held_out, rest


def fit_detectors(
    detectors: Mapping[str, Detector],
    discriminator: Discriminator,
    train: Split,
    seed: int,
    settings: EvaluationSettings = ALL,
) -> dict[str, Scorer]:
    """Fit the detectors in one pass over the training images.

    A seeded part of the images is held out to choose settings and normalise scores. Workers share the pass.
    The discriminator must be frozen.
    """
    subject, taps = looked_at(detectors, discriminator)
    kept_out, rest = hold_out(some(len(train.images), settings.training_images), seed)
    observers = {name: observer for name, each in detectors.items() if (observer := each.observer(subject))}
    labels = labels_of(train).to(discriminator.device)

    def held_out() -> Iterator[Seen]:
        return seen_in_turn(discriminator, taps, train, kept_out, settings.batch)

    with computing("float32", discriminator.device):
        if observers:
            mine = rest[parallel.rank() :: parallel.workers()]
            for seen in seen_in_turn(discriminator, taps, train, mine, settings.batch):
                for observer in observers.values():
                    observer.see(seen, labels[seen.rows.to(labels.device)])
            observers = parallel.merge_workers(observers)
        return {name: ready(observers.get(name, each)).scorer(subject, held_out) for name, each in detectors.items()}


def ready(found: Observer | Detector) -> Ready:
    """Return what makes a scorer: an observer, or a detector without one; raises TypeError for any other detector."""
    if not isinstance(found, Ready):
        raise TypeError(f"{type(found).__name__} has neither an observer nor a scorer")
    return found


def score_split(
    detectors: Mapping[str, Detector],
    scorers: Mapping[str, Scorer],
    discriminator: Discriminator,
    data: Split,
    settings: EvaluationSettings = ALL,
) -> Evaluated:
    """Score a split's images under every detector in one pass, which the workers share.

    The discriminator must be frozen. Raises ValueError if a score is not finite.
    """
    _, taps = looked_at(detectors, discriminator)
    rows = some(len(data.images), settings.images)
    parts: dict[str, list[Tensor]] = {name: [] for name in scorers}
    logits = []
    mine = rows[parallel.rank() :: parallel.workers()]
    with computing("float32", discriminator.device):
        for seen in seen_in_turn(discriminator, taps, data, mine, settings.batch):
            logits.append(seen.logits)
            for name, scorer in scorers.items():
                parts[name].append(score_batch(scorer, seen))
    found = {name: torch.cat(each).cpu() for name, each in parts.items()}  # the device is waited for here alone
    for name, grid in found.items():
        if not grid.isfinite().all():
            raise ValueError(f"detector {name} gives scores that are not finite for {data.description.dataset}")
    grids = {name: parallel.gather_parts(grid, len(rows)).numpy() for name, grid in found.items()}
    return Evaluated(rows, grids, parallel.gather_parts(torch.cat(logits).cpu(), len(rows)))


def scores(detector: Detector, discriminator: Discriminator, data: Split, train: Split | None = None) -> Grid:
    """Return scores (N, settings) of a split's images under one detector, fitted to `train` or, without it, `data`."""
    with frozen(discriminator):
        scorers = fit_detectors({"": detector}, discriminator, train or data, seed=0)
        return score_split({"": detector}, scorers, discriminator, data).grids[""]


def own_rows(logits: Tensor, labels: Tensor) -> list[MetricRow]:
    """Return rows of metrics of a discriminator's logits (N, C) for the ID test images."""
    confidence = logits.double().softmax(dim=1).amax(dim=1).numpy()
    correct = (logits.argmax(dim=1) == labels).numpy()
    values = {"accuracy": float(correct.mean()), "calibration_error": calibration_error(confidence, correct)}
    return [row_of(metric, value) for metric, value in values.items()]


def row_of(
    metric: str, value: float, detector: str = "", ood_dataset: str = "", protocol: str = "", setting: str = ""
) -> MetricRow:
    """A tidy row of metrics."""
    row: MetricRow = {"detector": detector, "protocol": protocol, "setting": setting, "ood_dataset": ood_dataset}
    return row | {"metric": metric, "value": value}


def aurocs(id_grid: Grid, ood_grid: Grid) -> list[float]:
    """AUROC of each setting: (N, settings), (M, settings) -> settings."""
    return [auroc(id_grid[:, column], ood_grid[:, column]) for column in range(id_grid.shape[1])]


def metric_rows(
    id_accuracy: float, scorers: Mapping[str, Scorer], sets: Mapping[str, Mapping[str, Grid]]
) -> Iterator[MetricRow]:
    """Tidy rows: every metric of every detector on every OOD set; `sets[detector]` holds "id" and the OOD sets.

    Where a detector has settings, there are rows for both protocols and one of the metric `auroc` for every setting,
    whose protocol is `grid`. Metrics under a detector that splits the ID test set are means over its draws.
    """
    for detector, grids in sets.items():
        scorer = scorers[detector]
        settings, chosen = scorer.settings, scorer.chosen
        for ood_dataset, ood_grid in grids.items():
            if ood_dataset == "id":
                continue
            if isinstance(scorer, SplitScorer):
                for metric, value in mean_values(scorer, grids["id"], ood_grid, id_accuracy).items():
                    yield row_of(metric, value, detector, ood_dataset)
                continue
            found = aurocs(grids["id"], ood_grid)
            choices = zip(PROTOCOLS, (int(np.argmax(found)), chosen), strict=True)
            columns = dict(choices) if len(settings) > 1 else {"": 0}
            for protocol, column in columns.items():
                values = values_of(grids["id"][:, column], ood_grid[:, column], id_accuracy)
                for metric, value in values.items():
                    yield row_of(metric, value, detector, ood_dataset, protocol, settings[column])
            if len(settings) > 1:
                for setting, value in zip(settings, found, strict=True):
                    yield row_of("auroc", value, detector, ood_dataset, "grid", setting)


def values_of(id_scores: Scores, ood_scores: Scores, id_accuracy: float) -> dict[str, float]:
    """Every metric of a detector's scores of ID and OOD images."""
    values = {name: metric(id_scores, ood_scores) for name, metric in OOD_METRICS.items()}
    values["harmonic_mean"] = harmonic_mean(values["auroc"], id_accuracy)
    low, high = auroc_interval(id_scores, ood_scores)
    return values | {"auroc_low": low, "auroc_high": high}


def mean_values(scorer: SplitScorer, id_grid: Grid, ood_grid: Grid, id_accuracy: float) -> dict[str, float]:
    """Every metric's mean over a scorer's draws from the ID test set."""
    draws = [
        values_of(id_grid[rows] @ weights, ood_grid @ weights, id_accuracy) for rows, weights in scorer.splits(id_grid)
    ]
    return {metric: float(np.mean([values[metric] for values in draws])) for metric in draws[0]}


def chosen_scores(
    scorers: Mapping[str, Scorer], sets: Mapping[str, Mapping[str, Grid]]
) -> dict[str, dict[str, Scores]]:
    """Each detector's scores (N,) under the setting that ID images choose, by data set; of draws, under the first."""
    chosen = {}
    for detector, grids in sets.items():
        scorer, weights = scorers[detector], np.eye(len(scorers[detector].settings))[scorers[detector].chosen]
        if isinstance(scorer, SplitScorer):
            _, weights = next(scorer.splits(grids["id"]))
        chosen[detector] = {name: grid @ weights for name, grid in grids.items()}
    return chosen


def by_detector(evaluations: Mapping[str, Evaluated], detectors: Sequence[str]) -> dict[str, dict[str, Grid]]:
    """Grids by detector, then by data set."""
    return {name: {key: each.grids[name] for key, each in evaluations.items()} for name in detectors}
