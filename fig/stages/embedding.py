"""Rule embedding: where a discriminator puts test images and its own generated samples, laid out in the plane."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.manifold import TSNE
from torch import Tensor

from fig import parallel
from fig.data.arrays import open_split
from fig.data.batches import labels_of
from fig.detectors.library import PENULTIMATE, penultimate
from fig.discriminator import Discriminator
from fig.evaluation import seen_in_turn, some
from fig.frozen import frozen
from fig.networks.taps import kept_at
from fig.runtime import timing
from fig.runtime.command import command_line
from fig.sampler import SamplerSettings, Samples
from fig.sampling import CONFIDENT, Request, draw
from fig.settings import settings_of
from fig.stages.options import Folder, Json, Test, parsed
from fig.stages.pictures import write_arrays
from fig.stages.workers import called, opened

FEWEST = 20  # samples laid out, the most confident ones, where none is confident enough
PERPLEXITY = 30.0  # of t-SNE: scikit-learn's default


@dataclass(frozen=True)
class EmbeddingSettings:
    """How many points there are; the defaults are those of the paper's Figure 4."""

    share: float = 0.1  # of the test images
    samples: int = 1000  # drawn, of which
    confident: float = CONFIDENT  # those of a confidence above this are laid out
    batch: int = 128  # images at once

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or min(self.samples, self.batch) < 1:
            raise ValueError(f"embedding: {self} cannot be had: share is above 0, samples and batch at least 1")


@dataclass(frozen=True)
class EmbeddingJob:
    """What is laid out; paths are absolute."""

    discriminator: Path  # its folder
    test: Path  # prepared test split of the ID data set
    sampler: SamplerSettings
    settings: EmbeddingSettings


def features_of_test(discriminator: Discriminator, test: Path, settings: EmbeddingSettings) -> tuple[Tensor, Tensor]:
    """Penultimate features (n, D) and classes (n,) of the settings' share of the test images."""
    data, taps = open_split(test), {PENULTIMATE: penultimate(discriminator.network)}
    rows = some(len(data.images), max(1, round(settings.share * len(data.images))))
    seen = seen_in_turn(discriminator, taps, data, rows, settings.batch)
    return torch.cat([each.kept[PENULTIMATE] for each in seen]), labels_of(data)[rows]


def shown_of(samples: Samples, confident: float) -> Tensor:
    """Rows of the samples that are laid out: those above the confidence or, where there is none, the FEWEST nearest."""
    above = (samples.confidence > confident).nonzero()[:, 0]
    return above if len(above) else samples.confidence.argsort(descending=True)[:FEWEST]


def plane(features: np.ndarray, seed: int) -> np.ndarray:
    """Features (n, D) as points of the plane (n, 2), by t-SNE."""
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features).astype(np.float32)


def work(job: EmbeddingJob) -> None:
    """Lay out on the worker of rank 0, which writes embedding.npz; the others have nothing to do."""
    if parallel.rank():
        return
    discriminator, card = opened(job.discriminator)
    request = Request(job.settings.samples, discriminator.shape, job.sampler, card.seed, job.settings.batch)
    with frozen(discriminator), torch.no_grad():
        real, labels = features_of_test(discriminator, job.test, job.settings)
        samples = draw(discriminator.network, request)
        rows = shown_of(samples, job.settings.confident)
        tap = penultimate(discriminator.network)
        parts = samples.images[rows].split(job.settings.batch)
        generated = torch.cat([kept_at(discriminator.network, tap, part) for part in parts])
    points = plane(torch.cat([real, generated]).float().cpu().numpy(), card.seed)
    write_arrays(
        job.discriminator / "embedding.npz",
        test=points[: len(real)],
        labels=labels.numpy(),
        generated=points[len(real) :],
        confidence=samples.confidence[rows].cpu().numpy(),
        drawn=np.array(len(samples.images)),
        above=np.array(int((samples.confidence > job.settings.confident).sum())),
        confident=np.array(job.settings.confident),
    )


def embedding(
    discriminator: Folder, test: Test, settings: Json = "{}", sampler: Json = "{}", resources: Json = "{}"
) -> None:
    """Lay out the penultimate features of test images and generated samples of a discriminator in the plane."""
    clock = timing.begin("embedding")
    sampling = settings_of(SamplerSettings, parsed(sampler, "--sampler"), "fig.sampler")
    job = EmbeddingJob(
        discriminator, test, sampling, settings_of(EmbeddingSettings, parsed(settings, "--settings"), "embedding")
    )
    _, clock = called(work, job, resources, clock)
    timing.write(clock, discriminator / "timing.embedding.json")


if __name__ == "__main__":
    command_line(__spec__.name)
