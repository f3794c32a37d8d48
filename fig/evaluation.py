"""Scores of one discriminator on ID and OOD images, and the metrics they give."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fig import parallel
from fig.data.arrays import Split
from fig.data.batches import images_at, labels_of
from fig.detectors import Detector
from fig.discriminator import Discriminator
from fig.frozen import frozen
from fig.metrics import OOD_METRICS, harmonic_mean

BATCH = 256  # images scored at once; the scores do not depend on it

MetricRow = dict[str, str | float]


def inputs_in_batches(discriminator: Discriminator, data: Split, batch_size: int = BATCH) -> Iterator[Tensor]:
    """This worker's images of a split in turn, scaled: (b, 3, size, size)."""
    mine = torch.arange(parallel.rank(), len(data.images), parallel.workers())
    for rows in mine.split(batch_size):
        yield discriminator.scaled(images_at(data, rows).to(parallel.device()))


def scores(detector: Detector, discriminator: Discriminator, data: Split) -> NDArray[np.float64]:
    """Scores (N,) of a split's images, higher = more in-distribution, shared out over the workers."""
    with frozen(discriminator):
        parts = [detector.score(discriminator.network, inputs) for inputs in inputs_in_batches(discriminator, data)]
    return parallel.gathered(torch.cat(parts).cpu(), len(data.images)).numpy()


def accuracy(discriminator: Discriminator, data: Split) -> float:
    """Share of a split's images whose most probable class is their label."""
    with frozen(discriminator), torch.no_grad():
        parts = [discriminator.network(inputs).argmax(1) for inputs in inputs_in_batches(discriminator, data)]
    predicted = parallel.gathered(torch.cat(parts).cpu(), len(data.images))
    return float((predicted == labels_of(data)).double().mean())


def metric_rows(id_accuracy: float, scores_of: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> Iterator[MetricRow]:
    """Tidy rows of every metric, detector and OOD set; `scores_of[detector]` holds "id" and one entry an OOD set."""
    yield {"detector": "", "ood_dataset": "", "metric": "accuracy", "value": id_accuracy}
    for detector, sets in scores_of.items():
        for ood_dataset, ood_scores in sets.items():
            if ood_dataset == "id":
                continue
            values = {name: metric(sets["id"], ood_scores) for name, metric in OOD_METRICS.items()}
            values["harmonic_mean"] = harmonic_mean(values["auroc"], id_accuracy)
            for name, value in values.items():
                yield {"detector": detector, "ood_dataset": ood_dataset, "metric": name, "value": value}
