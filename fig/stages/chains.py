"""Rule chains: what chains come to that no rule stops, and what class a discriminator takes it for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fig import parallel
from fig.data.arrays import description_of
from fig.runtime import timing
from fig.runtime.command import command_line
from fig.sampler import SamplerSettings, Samples
from fig.sampling import Request, draw, samples_where
from fig.settings import settings_of
from fig.stages.options import Folder, Json, Test, parsed
from fig.stages.pictures import pixels_of, write_arrays
from fig.stages.workers import called, opened

BATCH = 128  # chains at once


@dataclass(frozen=True)
class ChainsSettings:
    """Which chains are run, and which of them are kept; the defaults are those of the paper's Figure 5."""

    steps: int = 10_000  # of each chain
    chains: int = 128
    images: int = 8  # kept
    wanted: Mapping[str, str] = field(default_factory=dict)  # class by ID data set; where none is stated, any

    def __post_init__(self) -> None:
        if min(self.steps, self.chains, self.images) < 1:
            raise ValueError("chains: steps, chains and images must be at least 1")


@dataclass(frozen=True)
class ChainsJob:
    """Whose chains are run; paths are absolute."""

    discriminator: Path  # its folder
    classes: tuple[str, ...]  # their names
    wanted: str  # the name of one of them, or nothing
    sampler: SamplerSettings
    settings: ChainsSettings


def wanted_class(test: Path, wanted: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """Names of the classes of an ID data set, and the one of them that is wanted, if any.

    Raises ValueError where no class has that name.
    """
    described = description_of(test)
    name = wanted.get(described.dataset, "")
    if name and name not in described.classes:
        raise ValueError(
            f"chains.wanted.{described.dataset} is {name!r}: its classes are {', '.join(described.classes)}"
        )
    return tuple(described.classes), name


def kept_of(samples: Samples, wanted: int | None, images: int) -> Tensor:
    """Rows of the samples that are kept: the first that are predicted as the wanted class, in the chains' order.

    Where none is, the most confident of all; where no class is wanted, the first.
    """
    if wanted is None:
        return torch.arange(min(images, len(samples.images)))
    found = (samples.predicted == wanted).nonzero()[:, 0]
    return found[:images] if len(found) else samples.confidence.argsort(descending=True)[:images]


def work(job: ChainsJob) -> None:
    """Run the chains on the worker of rank 0, which writes chains.npz; the others have nothing to do."""
    if parallel.rank():
        return
    discriminator, card = opened(job.discriminator)
    steps = job.settings.steps
    unstopped = replace(job.sampler, stop="chain", min_steps=steps, max_steps=steps)
    request = Request(job.settings.chains, discriminator.shape, unstopped, card.seed, BATCH)
    samples = draw(discriminator.network, request)
    number = job.classes.index(job.wanted) if job.wanted else None
    kept = samples_where(samples, kept_of(samples, number, job.settings.images))
    write_arrays(
        job.discriminator / "chains.npz",
        images=pixels_of(kept.images),
        confidence=kept.confidence.cpu().numpy(),
        predicted=np.array(job.classes)[kept.predicted.cpu().numpy()],
        wanted=np.array(job.wanted),
        found=np.array(int((samples.predicted == number).sum()) if job.wanted else len(samples.images)),
        chains=np.array(len(samples.images)),
        steps=np.array(steps),
        mean_confidence=samples.confidence.mean().cpu().numpy(),
    )


def chains(
    discriminator: Folder, test: Test, settings: Json = "{}", sampler: Json = "{}", resources: Json = "{}"
) -> None:
    """Run chains of a discriminator for a fixed number of steps, and keep some that end in a wanted class."""
    clock = timing.begin("chains")
    sampling = settings_of(SamplerSettings, parsed(sampler, "--sampler"), "fig.sampler")
    stated = settings_of(ChainsSettings, parsed(settings, "--settings"), "chains")
    job = ChainsJob(discriminator, *wanted_class(test, stated.wanted), sampling, stated)
    _, clock = called(work, job, resources, clock)
    timing.write(clock, discriminator / "timing.chains.json")


if __name__ == "__main__":
    command_line(__spec__.name)
