"""How test images and low-entropy samples are laid out in the plane."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fig import parallel
from fig.data.arrays import open_split
from fig.data.batches import labels_of
from fig.detectors.library import PENULTIMATE, penultimate
from fig.discriminator import Discriminator
from fig.evaluation import seen_in_turn, some
from fig.frozen import frozen
from fig.networks.taps import Tap, kept_at
from fig.sampler import Samples
from fig.sampling import Request, draw
from fig.settings import EmbeddingSettings
from fig.stages.embedding import Embedding
from fig.stages.support.images import load_on_device, write_arrays

FEWEST = 20  # samples laid out, the most confident ones, where none is confident enough
PERPLEXITY = 30.0  # of t-SNE: scikit-learn's default


def features_of_test(
    discriminator: Discriminator, tap: Tap, test: Path, settings: EmbeddingSettings
) -> tuple[Tensor, Tensor]:
    """Tapped features (n, D) and classes (n,) of the settings' share of the test images."""
    data, taps = open_split(test), {PENULTIMATE: tap}
    rows = some(len(data.images), max(1, round(settings.share * len(data.images))))
    seen = seen_in_turn(discriminator, taps, data, rows, settings.batch)
    return torch.cat([each.kept[PENULTIMATE] for each in seen]), labels_of(data)[rows]


def choose_rows(samples: Samples, confident: float) -> Tensor:
    """Return the rows of samples to lay out: those above the confidence or, without such, the FEWEST nearest ones."""
    above = (samples.confidence > confident).nonzero()[:, 0]
    return above if len(above) else samples.confidence.argsort(descending=True)[:FEWEST]


def project(features: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Features (n, D) as points of the plane (n, 2), by t-SNE."""
    from sklearn.manifold import TSNE  # takes more than a second to import: when there are points

    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    points: NDArray[np.float32] = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features)
    return points.astype(np.float32)


def lay_out(job: Embedding) -> None:
    """Lay out on the worker of rank 0, which writes embedding.npz; the others have nothing to do."""
    if parallel.rank():
        return
    discriminator, card = load_on_device(job.discriminator, job.resources)
    request = Request(job.settings.samples, discriminator.shape, job.sampler, card.seed, job.settings.batch)
    with frozen(discriminator), torch.no_grad():
        tap = penultimate(discriminator.network, torch.zeros(1, *discriminator.shape, device=discriminator.device))
        real, labels = features_of_test(discriminator, tap, job.test, job.settings)
        samples = draw(discriminator.network, request)
        rows = choose_rows(samples, job.settings.confident)
        parts = samples.images[rows].split(job.settings.batch)
        generated = torch.cat([kept_at(discriminator.network, tap, part) for part in parts])
    points = project(torch.cat([real, generated]).float().cpu().numpy(), card.seed)
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
