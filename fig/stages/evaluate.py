"""Rule evaluate: one discriminator's scores and metrics under all detectors, and samples of its implicit generator."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from fig import parallel
from fig.data.arrays import open_split
from fig.data.batches import labels_of
from fig.detectors import Detector, detector_of
from fig.discriminator import Discriminator, load_card
from fig.evaluation import (
    Evaluated,
    EvaluationSettings,
    MetricRow,
    by_detector,
    chosen_scores,
    evaluated,
    fitted,
    metric_rows,
    own_rows,
    row_of,
)
from fig.files import replacing
from fig.frozen import frozen
from fig.runtime import timing
from fig.runtime.command import command_line
from fig.runtime.tracking import try_to_mirror
from fig.sampler import SamplerSettings, Samples, sample
from fig.sampling import CONFIDENT, joined
from fig.seeding import generator
from fig.settings import settings_of
from fig.stages.options import Folder, Json, OodSets, Test, Train, parsed
from fig.stages.pictures import write_arrays, write_samples
from fig.stages.workers import called, opened

SAMPLES = 64  # drawn from the implicit generator, to be looked at
MEMORY = "lower evaluation.batch, share it among more workers, or choose fewer detectors"


@dataclass(frozen=True)
class EvaluationJob:
    """What is evaluated on what; paths are absolute."""

    discriminator: Path  # its folder
    train: Path  # prepared training split of the ID data set, to which detectors are fitted
    test: Path  # prepared test split of the ID data set
    ood_datasets: tuple[Path, ...]  # prepared OOD sets
    detectors: Mapping[str, Detector]
    sampler: SamplerSettings
    settings: EvaluationSettings


def work(job: EvaluationJob) -> None:
    """Evaluate on this worker; raises ValueError where the device's memory does not even do for single images."""
    try:
        score(job)
    except torch.OutOfMemoryError as error:
        raise ValueError(f"evaluate of {job.discriminator} does not fit into the device's memory: {MEMORY}") from error


def score(job: EvaluationJob) -> None:
    """Score on this worker; rank 0 writes the scores, the metrics and the samples."""
    discriminator, card = opened(job.discriminator)
    sets = {"id": job.test} | {path.parent.name: path for path in job.ood_datasets}
    found: dict[str, Evaluated] = {}
    with frozen(discriminator):
        scorers = fitted(job.detectors, discriminator, open_split(job.train), card.seed, job.settings)
        for name, path in tqdm(sets.items(), desc="evaluate", unit="data set"):
            found[name] = evaluated(job.detectors, scorers, discriminator, open_split(path), job.settings)
    if parallel.rank():
        return
    grids = by_detector(found, list(scorers))
    for name, arrays in chosen_scores(scorers, grids).items():
        write_arrays(job.discriminator / "scores" / f"{name}.npz", **arrays)
    samples = low_entropy_samples(discriminator, card.seed, job.sampler, torch.arange(SAMPLES))
    write_samples(job.discriminator / "samples.png", samples)
    own = own_rows(found["id"].logits, labels_of(open_split(job.test))[found["id"].rows])
    write_metrics(job.discriminator, [*own, *metric_rows(own[0]["value"], scorers, grids), *sample_rows(samples)])


def low_entropy_samples(discriminator: Discriminator, seed: int, settings: SamplerSettings, chains: Tensor) -> Samples:
    """Images that the discriminator is confident about, drawn from its implicit generator: these of SAMPLES chains.

    They are drawn in halves, with the same noise, where they do not fit into the device's memory.
    """
    noise = generator(seed, "samples")
    try:
        return sample(discriminator.network, SAMPLES, discriminator.shape, settings, noise, chains)
    except torch.OutOfMemoryError:
        if len(chains) == 1:
            raise
    first, second = (low_entropy_samples(discriminator, seed, settings, half) for half in chains.chunk(2))
    return joined(first, second)


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
    names = {"id_dataset": card.id_dataset, "network": card.architecture.network, "variant": card.variant}
    names |= {"seed": card.seed, "key": card.key}
    with replacing(folder / "metrics.csv") as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*names, *rows[0]])
        writer.writeheader()
        writer.writerows(names | row for row in rows)


def evaluate(
    discriminator: Folder,
    train: Train,
    test: Test,
    ood: OodSets,
    detectors: Json,
    sampler: Json = "{}",
    resources: Json = "{}",
    settings: Json = "{}",
) -> None:
    """Evaluate a discriminator with all detectors on all OOD sets."""
    clock = timing.begin("evaluate")
    sampling = settings_of(SamplerSettings, parsed(sampler, "--sampler"), "fig.sampler")
    looked_at = settings_of(EvaluationSettings, parsed(settings, "--settings"), "evaluation")
    stated = parsed(detectors, "--detectors")
    chosen = {name: detector_of(name, own) for name, own in stated.items()}
    job = EvaluationJob(discriminator, train, test, tuple(ood), chosen, sampling, looked_at)
    _, clock = called(work, job, resources, clock)
    clock = replace(clock, tracking=try_to_mirror(discriminator))
    timing.write(clock, discriminator / "timing.evaluation.json")


if __name__ == "__main__":
    command_line(__spec__.name)
