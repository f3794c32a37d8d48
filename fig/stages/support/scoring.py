"""How a discriminator is evaluated on a worker: scores, metrics, and low-entropy samples."""

import csv
from functools import reduce
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from fig import parallel
from fig.data.arrays import open_split
from fig.data.batches import labels_of
from fig.detectors.table import build_detector
from fig.discriminator import Discriminator, load_card
from fig.evaluation import (
    Evaluated,
    MetricRow,
    by_detector,
    chosen_scores,
    fit_detectors,
    metric_rows,
    own_rows,
    row_of,
    score_split,
)
from fig.files import replacing
from fig.frozen import frozen
from fig.memory import halve_until_it_fits
from fig.sampler import Samples, sample
from fig.sampling import CONFIDENT, join_samples
from fig.seeding import generator
from fig.settings import SamplerSettings
from fig.stages.evaluate import Evaluate
from fig.stages.support.images import load_on_device, write_arrays, write_samples

SAMPLES = 64  # drawn by the sampler, for the report
LESS_MEMORY = "lower evaluation.batch, share it among more workers, or choose fewer detectors"


def evaluate_on_this_worker(job: Evaluate) -> None:
    """Evaluate on this worker; raises ValueError where the device's memory does not even suffice for single images."""
    try:
        score(job)
    except torch.OutOfMemoryError as error:
        what = f"evaluate of {job.discriminator}"
        raise ValueError(f"{what} does not fit into the device's memory: {LESS_MEMORY}") from error


def score(job: Evaluate) -> None:
    """Score on this worker; rank 0 writes the scores, the metrics and the samples."""
    discriminator, card = load_on_device(job.discriminator, job.resources)
    detectors = {name: build_detector(name, stated) for name, stated in job.detectors.items()}
    sets = {"id": job.test} | {path.parent.name: path for path in job.ood}
    found: dict[str, Evaluated] = {}
    with frozen(discriminator):
        scorers = fit_detectors(detectors, discriminator, open_split(job.train), card.seed, job.settings)
        for name, path in tqdm(sets.items(), desc="evaluate", unit="data set"):
            found[name] = score_split(detectors, scorers, discriminator, open_split(path), job.settings)
    if parallel.rank():
        return
    grids = by_detector(found, list(scorers))
    for name, arrays in chosen_scores(scorers, grids).items():
        write_arrays(job.discriminator / "scores" / f"{name}.npz", **arrays)
    samples = draw_samples(discriminator, card.seed, job.sampler)
    write_samples(job.discriminator / "samples.png", samples)
    own = own_rows(found["id"].logits, labels_of(open_split(job.test))[found["id"].rows])
    accuracy = float(own[0]["value"])
    write_metrics(job.discriminator, [*own, *metric_rows(accuracy, scorers, grids), *sample_rows(samples)])


def draw_samples(discriminator: Discriminator, seed: int, settings: SamplerSettings) -> Samples:
    """SAMPLES low-entropy samples; in parts, with the same noise, where they do not fit into the device's memory."""

    def draw_chains(chains: Tensor) -> Samples:
        noise = generator(seed, "samples")
        return sample(discriminator.network, SAMPLES, discriminator.shape, settings, noise, chains)

    return reduce(join_samples, halve_until_it_fits(draw_chains, torch.arange(SAMPLES)))


def sample_rows(samples: Samples) -> list[MetricRow]:
    """How confident the discriminator is on its own low-entropy samples, as rows of metrics."""
    values = {
        "sample_confidence": samples.confidence.mean(),
        "sample_share_confident": (samples.confidence > CONFIDENT).float().mean(),
        "sample_energy": samples.energy.mean(),
        "sample_steps": samples.steps.float().mean(),
    }
    return [row_of(name, float(value)) for name, value in values.items()]


def write_metrics(folder: Path, rows: list[MetricRow]) -> None:
    """Write the tidy metrics of a discriminator, each row with the names and the key of the weights it describes."""
    card = load_card(folder)
    names: MetricRow = {"id_dataset": card.id_dataset, "network": card.architecture.network, "variant": card.variant}
    names |= {"seed": card.seed, "key": card.key}
    with replacing(folder / "metrics.csv") as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*names, *rows[0]])
        writer.writeheader()
        writer.writerows(names | row for row in rows)
