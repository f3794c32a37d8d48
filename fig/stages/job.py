"""What all stages that train share: one discriminator is trained, from checkpoint to folder."""

import csv
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from fig import parallel
from fig.checkpoint import Progress, load_checkpoint, save_checkpoint
from fig.data.arrays import description_of, open_split
from fig.data.augment import Augmentation
from fig.discriminator import Architecture, Card, Discriminator, load, load_card, save
from fig.files import replacing
from fig.methods.protocol import Method
from fig.runtime import timing
from fig.runtime.cluster import Resources, run_on_workers
from fig.runtime.progress import followed
from fig.runtime.provenance import file_hash, fingerprint, provenance_key
from fig.runtime.tracking import try_to_mirror
from fig.settings import settings_of
from fig.training import DivergedError, Row, TrainingSettings, players_of, train

SHARE_OF_SAVING = 0.02  # of a job's time that may go into checkpoints
SECONDS_BETWEEN = 1.0  # checkpoints, at least
LESS_MEMORY = "lower batch_size, set precision to bfloat16, or share the batch among more workers"

log = logging.getLogger("fig")


@dataclass(frozen=True)
class TrainingJob:
    """Everything that decides a training's result, and where it goes; paths are absolute."""

    stage: str
    train: Path  # prepared training split
    output: Path  # the discriminator's folder
    checkpoints: Path  # a folder for those of all jobs
    variant: str
    seed: int
    method: Method
    training: TrainingSettings
    augmentation: Augmentation
    architecture: Architecture  # of a new network, and of `standard`
    standard: Path | None = None  # folder of the discriminator to start from; None: a new network
    teacher: Path | None = None  # folder of the discriminator that the sampler follows; None: the one in training

    def provenance(self) -> dict[str, Any]:
        """What the provenance key is made of: code, settings and inputs."""
        parents = {"standard": self.standard, "teacher": self.teacher}
        return {
            "code": fingerprint(f"fig.stages.{self.stage}", type(self.method).__module__),
            "settings": {"training": asdict(self.training), "method": asdict(self.method)},
            "architecture": asdict(self.architecture),
            "seed": self.seed,
            "train": description_of(self.train).sha256,
            "augmentation": asdict(self.augmentation),
            **{name: file_hash(folder / "model.safetensors") for name, folder in parents.items() if folder},
        }


def architecture_of(train: Path, network: str, stated: Mapping[str, Any], scaling: str, size: int) -> Architecture:
    """The architecture for a prepared training split, from what is `stated` of its network.

    `scaling` is symmetric (to [-1, 1]) or standardised (by the training pixels' mean and standard deviation); a mean
    and std that are stated, as the network of one's own expects them, go before it.
    """
    description = description_of(train)
    scaled = {"mean": description.mean, "std": description.std} if scaling == "standardised" else {}
    known = {"network": network, "classes": len(description.classes), "size": size}
    return settings_of(Architecture, known | scaled | dict(stated), f"networks.{network}")


def write_history(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV, whole or not at all; a column that a row lacks stays empty."""
    rows = list(rows)
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def averaged(done: int, rows: Sequence[Row]) -> Row:
    """One row of the history from those of the iterations up to `done`; of none, nothing but the time."""
    means = {name: sum(row[name] for row in rows) / len(rows) for name in (rows[0] if rows else ())}
    return {"iteration": done, "time": round(time.time(), 3)} | means


def advanced(progress: Progress, done: int, row: Row, close: bool) -> Progress:
    """The progress after one more iteration; `close` ends a row of the history."""
    since = (*progress.since, row)
    if close:
        return Progress(done, (*progress.rows, averaged(done, since)))
    return Progress(done, progress.rows, since)


def work(call: tuple[TrainingJob, Path, str]) -> None:
    """Train on this worker, from the last checkpoint in `folder` on; rank 0 saves checkpoints, history and weights.

    A checkpoint is written every second, or as seldom as keeps its cost below SHARE_OF_SAVING: whenever and however
    the job is ended, no more than that is lost.
    """
    job, folder, key = call
    discriminator = load(job.standard) if job.standard else Discriminator(job.architecture, job.seed)
    discriminator.to(parallel.device())
    method = job.method
    if job.teacher:
        method = replace(method, teacher=load(job.teacher).network.to(parallel.device()))
    players = players_of(discriminator, method, job.training, job.seed)
    progress, data = load_checkpoint(folder, key, players), open_split(job.train)
    length, every = job.training.length(len(data.images)), job.training.log_every
    first = parallel.rank() == 0
    saved, cost = time.monotonic(), 0.0
    steps = train(discriminator, players, data, method, job.training, job.augmentation, job.seed, start=progress.done)
    try:
        for done, row in steps:
            progress = advanced(progress, done, row, close=done % every == 0 or done == length)
            if first and not progress.since:
                write_history(folder / "history.csv", progress.rows)
            if first and time.monotonic() - saved > max(SECONDS_BETWEEN, cost / SHARE_OF_SAVING):
                began = time.monotonic()
                save_checkpoint(folder, key, players, progress)
                saved, cost = time.monotonic(), time.monotonic() - began
    except DivergedError:
        if first and progress.since:
            write_history(folder / "history.csv", [*progress.rows, averaged(progress.done, progress.since)])
        raise
    except torch.OutOfMemoryError as error:
        raise ValueError(f"{job.stage} of {job.output} does not fit into the device's memory: {LESS_MEMORY}") from error
    if first:
        write_history(job.output / "history.csv", progress.rows or [averaged(0, ())])
        save(job.output, discriminator, card_of(job, key))


def versions() -> dict[str, str]:
    """Versions of the libraries that decide a result."""
    return {name: version(name) for name in ("torch", "torchvision", "numpy")}


def card_of(job: TrainingJob, key: str) -> Card:
    """The card of the trained discriminator."""
    about = {"made_of": job.provenance(), "versions": versions()}
    settings = {"training": asdict(job.training), "method": asdict(job.method)}
    dataset = description_of(job.train).dataset
    return Card(job.architecture, dataset, job.variant, job.seed, key, about, settings)


def is_made(job: TrainingJob, key: str) -> bool:
    """Whether the job's folder holds what this very job makes."""
    return (job.output / "discriminator.json").exists() and load_card(job.output).key == key


@contextmanager
def alone(job: TrainingJob, key: str) -> Iterator[None]:
    """Hold the job's lock: whoever was killed may have left a process behind that still trains."""
    lock = FileLock(job.checkpoints / f"{key}.lock")
    try:
        with lock.acquire(blocking=False):
            yield
    except Timeout:
        log.warning("another process trains %s: waiting for it", job.output)
        with lock:
            yield


def trained(job: TrainingJob, call: Callable[[Callable[[Any], None], Any], None]) -> None:
    """Train a discriminator into its folder; `call` calls a function with its settings, wherever it likes.

    Its checkpoints are kept under the job's provenance key until it is done: a killed job goes on from them, a
    changed one cannot pick them up, and where another process runs the same job its result is taken. Raises ValueError
    where there are fewer images than in a batch, DivergedError, naming the job, where the loss is not finite.
    """
    images = description_of(job.train).count
    if images < job.training.batch_size:
        raise ValueError(f"{job.train} holds {images} images, fewer than a batch of {job.training.batch_size}")
    key = provenance_key(job.provenance())
    folder = job.checkpoints / key
    folder.mkdir(parents=True, exist_ok=True)
    job.output.mkdir(parents=True, exist_ok=True)
    length = job.training.length(images)
    name = "/".join(job.output.parts[1:][-4:])  # fewer where the folder is one's own
    with alone(job, key):
        if is_made(job, key):
            return
        try:
            with followed(folder / "history.csv", length, f"{job.stage} {name}"):
                call(work, (job, folder, key))
        except (DivergedError, FloatingPointError) as error:
            raise DivergedError(f"{job.stage} of {name} diverged: {error}; its history is in {folder}") from error
        shutil.rmtree(folder)


def run(job: TrainingJob, resources: Resources, clock: timing.Timing) -> None:
    """Train a discriminator into its folder on Ray's workers, and mirror it; raises what `trained` raises."""
    seconds = 0.0

    def on_workers(function: Callable[[Any], None], settings: Any) -> None:
        nonlocal seconds
        _, seconds = run_on_workers(function, settings, resources)

    began = time.monotonic()
    trained(job, on_workers)
    clock = replace(clock, ray=time.monotonic() - began - seconds, work=seconds)
    clock = replace(clock, tracking=try_to_mirror(job.output))
    timing.write(clock, job.output / "timing.training.json")
