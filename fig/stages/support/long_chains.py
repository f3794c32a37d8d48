"""How chains are run that no rule stops."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fig import parallel
from fig.data.arrays import description_of
from fig.sampler import Samples
from fig.sampling import Request, draw, samples_where
from fig.stages.chains import Chains
from fig.stages.support.images import load_on_device, pixels_of, write_arrays

BATCH = 128  # chains at once


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


def choose_rows(samples: Samples, wanted: int | None, images: int) -> Tensor:
    """Rows of the samples to keep: the first that are predicted as the wanted class, in the chains' order.

    Where none is, the most confident of all; where no class is wanted, the first.
    """
    if wanted is None:
        return torch.arange(min(images, len(samples.images)))
    found = (samples.predicted == wanted).nonzero()[:, 0]
    return found[:images] if len(found) else samples.confidence.argsort(descending=True)[:images]


def run_chains(job: Chains) -> None:
    """Run the chains on the worker of rank 0, which writes chains.npz; the others have nothing to do."""
    classes, wanted = wanted_class(job.test, job.settings.wanted)
    if parallel.rank():
        return
    discriminator, card = load_on_device(job.discriminator, job.resources)
    steps = job.settings.steps
    unstopped = replace(job.sampler, stop="chain", min_steps=steps, max_steps=steps)
    request = Request(job.settings.chains, discriminator.shape, unstopped, card.seed, BATCH)
    samples = draw(discriminator.network, request)
    number = classes.index(wanted) if wanted else None
    kept = samples_where(samples, choose_rows(samples, number, job.settings.images))
    write_arrays(
        job.discriminator / "chains.npz",
        images=pixels_of(kept.images),
        confidence=kept.confidence.cpu().numpy(),
        predicted=np.array(classes)[kept.predicted.cpu().numpy()],
        wanted=np.array(wanted),
        found=np.array(int(samples.predicted.eq(number).sum()) if number is not None else len(samples.images)),
        chains=np.array(len(samples.images)),
        steps=np.array(steps),
        mean_confidence=samples.confidence.mean().cpu().numpy(),
    )
