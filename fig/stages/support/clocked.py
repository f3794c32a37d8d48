"""How the sampler is timed on a worker."""

import json
import time
from dataclasses import asdict, dataclass, replace

import torch

from fig import parallel
from fig.files import replacing
from fig.runtime.cluster import name_device
from fig.sampling import Request, draw
from fig.stages.support.images import load_on_device
from fig.stages.throughput import Throughput


@dataclass(frozen=True)
class Measurement:
    """What was timed: `images` drawn in batches of `batch`, of `steps` steps on average."""

    id_dataset: str
    network: str
    width: float  # share of the network's channels
    size: int  # pixels a side
    batch: int
    device: str
    precision: str
    steps: float
    images: int
    seconds: float
    images_per_second: float


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done all it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_sampler(job: Throughput) -> None:
    """Time the sampler on the worker of rank 0, after one batch that no clock sees; the others have nothing to do."""
    if parallel.rank():
        return
    discriminator, card = load_on_device(job.discriminator, job.resources)
    batch = min(job.settings.batch, job.settings.images)
    request = Request(job.settings.images, discriminator.shape, job.sampler, card.seed, batch)
    draw(discriminator.network, replace(request, count=batch, seed=card.seed + 1), progress=False)
    wait_for(discriminator.device)
    began = time.perf_counter()
    samples = draw(discriminator.network, request, progress=False)
    wait_for(discriminator.device)
    seconds = time.perf_counter() - began
    threads = f", threads: {torch.get_num_threads()}" if discriminator.device.type == "cpu" else ""
    measured = Measurement(
        id_dataset=card.id_dataset,
        network=card.architecture.network,
        width=card.architecture.width,
        size=card.architecture.size,
        batch=batch,
        device=name_device(job.resources.gpus_per_worker) + threads,
        precision=job.sampler.precision,
        steps=samples.steps.float().mean().item(),
        images=len(samples.images),
        seconds=seconds,
        images_per_second=len(samples.images) / seconds,
    )
    with replacing(job.output) as partial:
        partial.write_text(json.dumps(asdict(measured), indent=2) + "\n")
