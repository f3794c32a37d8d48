"""Rule throughput: how many low-entropy samples a second a standard discriminator's generator gives."""

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from fig import parallel
from fig.files import replacing
from fig.runtime import timing
from fig.runtime.command import command_line
from fig.sampler import SamplerSettings
from fig.sampling import Request, draw
from fig.settings import settings_of
from fig.stages.options import Folder, Json, parsed
from fig.stages.workers import called, opened


@dataclass(frozen=True)
class ThroughputSettings:
    """How much is drawn while the clock runs."""

    batch: int = 128  # chains at once
    images: int = 1280

    def __post_init__(self) -> None:
        if min(self.batch, self.images) < 1:
            raise ValueError("throughput: batch and images must be at least 1")


@dataclass(frozen=True)
class ThroughputJob:
    """Whose generator is timed; the path is absolute."""

    discriminator: Path  # its folder
    sampler: SamplerSettings
    settings: ThroughputSettings


@dataclass(frozen=True)
class Throughput:
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


def device_name() -> str:
    """The device that samples are drawn on, with the threads of a CPU."""
    device = parallel.device()
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    stated = Path("/proc/cpuinfo")
    lines = stated.read_text().splitlines() if stated.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    count = torch.get_num_threads()
    return f"{names[0] if names else 'CPU'}, {count} thread{'s' * (count > 1)}"


def wait_for_device() -> None:
    """Wait until a GPU has done all it was asked to do."""
    if parallel.device().type == "cuda":
        torch.cuda.synchronize()


def work(job: ThroughputJob) -> Throughput | None:
    """Time the sampler on the worker of rank 0, after one batch that no clock sees; None on the others."""
    if parallel.rank():
        return None
    discriminator, card = opened(job.discriminator)
    request = Request(
        job.settings.images, discriminator.shape, job.sampler, card.seed, min(job.settings.batch, job.settings.images)
    )
    draw(discriminator.network, replace(request, count=request.batch, seed=card.seed + 1), progress=False)
    wait_for_device()
    began = time.perf_counter()
    samples = draw(discriminator.network, request, progress=False)
    wait_for_device()
    seconds = time.perf_counter() - began
    return Throughput(
        id_dataset=card.id_dataset,
        network=card.architecture.network,
        width=card.architecture.width,
        size=card.architecture.size,
        batch=request.batch,
        device=device_name(),
        precision=job.sampler.precision,
        steps=samples.steps.float().mean().item(),
        images=len(samples.images),
        seconds=seconds,
        images_per_second=len(samples.images) / seconds,
    )


def throughput(
    discriminator: Folder,
    output: Annotated[Path, typer.Option(help="JSON file to be written.")],
    settings: Json = "{}",
    sampler: Json = "{}",
    resources: Json = "{}",
) -> None:
    """Time the sampler on a discriminator."""
    clock = timing.begin("throughput")
    job = ThroughputJob(
        discriminator,
        settings_of(SamplerSettings, parsed(sampler, "--sampler"), "fig.sampler"),
        settings_of(ThroughputSettings, parsed(settings, "--settings"), "throughput"),
    )
    timed, clock = called(work, job, resources, clock)
    with replacing(output) as partial:
        partial.write_text(json.dumps(asdict(timed), indent=2) + "\n")
    timing.write(clock, output.with_suffix(".timing.json"))


if __name__ == "__main__":
    command_line(__spec__.name)
