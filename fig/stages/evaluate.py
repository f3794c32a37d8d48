"""Rule evaluate: one discriminator's scores and metrics under all detectors, and samples of its implicit generator."""

import csv
import time
from dataclasses import dataclass, replace
from pathlib import Path

from fig import parallel
from fig.data.arrays import open_split
from fig.detectors import DETECTORS
from fig.discriminator import Discriminator, load, load_card
from fig.evaluation import MetricRow, accuracy, metric_rows, scores
from fig.files import replacing
from fig.runtime import timing
from fig.runtime.cluster import Resources, run_on_workers
from fig.runtime.command import command_line
from fig.runtime.tracking import try_to_mirror
from fig.sampler import SamplerSettings, Samples, sample
from fig.seeding import generator
from fig.settings import settings_of
from fig.stages.options import Detectors, Folder, Json, OodSets, Test, parsed
from fig.stages.pictures import write_arrays, write_samples

SAMPLES = 64  # drawn from the implicit generator, to be looked at
HIGH = 0.9  # confidence above which a sample counts as one that the discriminator is wrong about


@dataclass(frozen=True)
class EvaluationJob:
    """What is evaluated on what; paths are absolute."""

    discriminator: Path  # its folder
    test: Path  # prepared test split of the ID data set
    ood_datasets: tuple[Path, ...]  # prepared OOD sets
    detectors: tuple[str, ...]
    sampler: SamplerSettings


def work(job: EvaluationJob) -> None:
    """Score on this worker; rank 0 writes the scores, the metrics and the samples."""
    discriminator = load(job.discriminator).to(parallel.device())
    test = open_split(job.test)
    id_accuracy = accuracy(discriminator, test)
    sets = {"id": test} | {path.parent.name: open_split(path) for path in job.ood_datasets}
    scores_of = {
        name: {key: scores(DETECTORS[name](), discriminator, data) for key, data in sets.items()}
        for name in job.detectors
    }
    if parallel.rank():
        return
    for name, arrays in scores_of.items():
        write_arrays(job.discriminator / "scores" / f"{name}.npz", **arrays)
    samples = low_entropy_samples(discriminator, load_card(job.discriminator).seed, job.sampler)
    write_samples(job.discriminator / "samples.png", samples)
    rows = [*metric_rows(id_accuracy, scores_of), *sample_rows(samples)]
    write_metrics(job.discriminator, rows)


def low_entropy_samples(discriminator: Discriminator, seed: int, settings: SamplerSettings) -> Samples:
    """SAMPLES images that the discriminator is confident about, drawn from its implicit generator."""
    return sample(discriminator.network, SAMPLES, discriminator.shape, settings, generator(seed, "samples"))


def sample_rows(samples: Samples) -> list[MetricRow]:
    """How confident the discriminator is on its own low-entropy samples, as rows of metrics."""
    values = {
        "sample_confidence": samples.confidence.mean(),
        "sample_share_confident": (samples.confidence > HIGH).float().mean(),
        "sample_energy": samples.energy.mean(),
        "sample_steps": samples.steps.float().mean(),
    }
    return [{"detector": "", "ood_dataset": "", "metric": name, "value": float(v)} for name, v in values.items()]


def write_metrics(folder: Path, rows: list[MetricRow]) -> None:
    """Write the tidy metrics of a discriminator, each row with the names and the key of the weights it describes."""
    card = load_card(folder)
    names = {"id_dataset": card.id_dataset, "network": card.architecture.network, "variant": card.variant}
    names |= {"seed": card.seed, "key": card.key}
    with replacing(folder / "metrics.csv") as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*names, "detector", "ood_dataset", "metric", "value"])
        writer.writeheader()
        writer.writerows(names | row for row in rows)


def evaluate(
    discriminator: Folder,
    test: Test,
    ood: OodSets,
    detector: Detectors,
    sampler: Json = "{}",
    resources: Json = "{}",
) -> None:
    """Evaluate a discriminator."""
    clock = timing.begin("evaluate")
    settings = settings_of(SamplerSettings, parsed(sampler, "--sampler"), "fig.sampler")
    job = EvaluationJob(discriminator, test, tuple(ood), tuple(detector), settings)
    began = time.monotonic()
    _, seconds = run_on_workers(work, job, settings_of(Resources, parsed(resources, "--resources"), "resources"))
    clock = replace(clock, ray=time.monotonic() - began - seconds, work=seconds)
    clock = replace(clock, tracking=try_to_mirror(discriminator))
    timing.write(clock, discriminator / "timing.evaluation.json")


if __name__ == "__main__":
    command_line(__spec__.name)
