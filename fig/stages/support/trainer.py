"""Train a job's discriminator on its workers: resume from the last checkpoint and write the folder."""

import csv
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from fig import parallel
from fig.checkpoint import add_row, average_rows, load_checkpoint, save_checkpoint
from fig.data.arrays import description_of, open_split
from fig.discriminator import Architecture, Card, Discriminator, load, load_card, save
from fig.files import replacing
from fig.methods.protocol import Method
from fig.methods.table import build_method
from fig.runtime.cluster import run_on_workers
from fig.runtime.ending import saving_first
from fig.runtime.progress import show_progress
from fig.runtime.record import Origin, Times
from fig.settings import Json, read_settings
from fig.stages.support.training import FromRandomWeights, Training
from fig.training import DivergedError, Row, iterations_of, players_of, train

SHARE_OF_SAVING = 0.02  # of a job's time that may go into checkpoints
SECONDS_BETWEEN = 1.0  # checkpoints, at least
REQUEST = "save"  # a file with which a job that must end asks its workers to save
LESS_MEMORY = "lower batch_size, set precision to bfloat16, or share the batch among more workers"

log = logging.getLogger("fig")


@dataclass(frozen=True)
class Call:
    """What a worker is called with."""

    job: Training  # its paths absolute
    folder: Path  # of its checkpoints
    key: str  # its provenance key
    origin: Origin  # its paths as they were given


def build_architecture(train: Path, network: str, stated: Mapping[str, Json], scaling: str, size: int) -> Architecture:
    """Return the architecture of a network for a prepared training split, from its `stated` values.

    `scaling` is symmetric (to [-1, 1]) or standardised (by the training pixels' mean and standard deviation). A stated
    mean and std, which a network of your own may need, take precedence.
    """
    description = description_of(train)
    scaled = {"mean": description.mean, "std": description.std} if scaling == "standardised" else {}
    known = {"network": network, "classes": len(description.classes), "size": size}
    return read_settings(Architecture, known | scaled | dict(stated), f"networks.{network}")


def architecture_of(job: Training, method: Method) -> Architecture:
    """Return the architecture that a job trains: a new network's, or that of the discriminator it starts from."""
    if isinstance(job, FromRandomWeights):
        size = job.augmentation.size
        built = build_architecture(job.train, job.network, job.architecture, job.scaling, size)
        return replace(built, head=method.head)
    return load_card(next(job.parents())).architecture


def write_history(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as CSV, atomically; a column that a row lacks stays empty."""
    rows = list(rows)
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def start(job: Training) -> tuple[Discriminator, Method]:
    """Return a job's initial discriminator, on this worker's device, and its method, with a teacher if it has one."""
    device = parallel.device_for(job.resources.gpus_per_worker)
    method = build_method(job.method, job.settings)
    loaded = [load(folder, trust_factory=True) for folder in job.parents()]
    discriminator = loaded[0] if loaded else Discriminator(architecture_of(job, method), job.seed)
    if loaded[1:]:
        teacher = loaded[1].network.to(device)
        method = replace(method, teacher=teacher)  # type: ignore[type-var]  # only one with that field has one
    return discriminator.to(device), method


def train_on_this_worker(call: Call) -> None:
    """Train on this worker from the last checkpoint; rank 0 saves checkpoints, history and weights.

    A checkpoint is written every second, or less often to keep its cost below SHARE_OF_SAVING, and when the job is
    asked to end. A killed job loses only the work since its last checkpoint.
    """
    job, folder, key = call.job, call.folder, call.key
    discriminator, method = start(job)
    players = players_of(discriminator, method, job.training, job.seed)
    progress, data = load_checkpoint(folder, key, players), open_split(job.train)
    length, every = iterations_of(job.training, len(data.images)), job.training.log_every
    first = parallel.rank() == 0
    saved, cost = time.monotonic(), 0.0
    steps = train(discriminator, players, data, method, job.training, job.augmentation, job.seed, start=progress.done)
    try:
        for done, row in steps:
            progress = add_row(progress, done, row, close=done % every == 0 or done == length)
            if first and not progress.since:
                write_history(folder / "history.csv", progress.rows)
            due = time.monotonic() - saved > max(SECONDS_BETWEEN, cost / SHARE_OF_SAVING)
            if first and (due or (folder / REQUEST).exists()):
                began = time.monotonic()
                save_checkpoint(folder, key, players, progress)
                (folder / REQUEST).unlink(missing_ok=True)
                saved, cost = time.monotonic(), time.monotonic() - began
    except DivergedError:
        if first and progress.since:
            write_history(folder / "history.csv", [*progress.rows, average_rows(progress.done, progress.since)])
        raise
    except torch.OutOfMemoryError as error:
        what = f"{job.stage()} of {job.output}"
        raise ValueError(f"{what} does not fit into the device's memory: {LESS_MEMORY}") from error
    if first:
        write_history(job.output / "history.csv", progress.rows or [average_rows(0, ())])
        save(job.output, discriminator, make_card(call, discriminator.architecture))


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide a result."""
    return {name: version(name) for name in ("torch", "torchvision", "numpy")}


def make_card(call: Call, architecture: Architecture) -> Card:
    """Return the card of the trained discriminator."""
    job, made_of = call.job, call.origin
    about = {"made_of": asdict(made_of), "versions": library_versions()}
    kept = {"training": made_of.settings["training"], "method": made_of.settings["settings"]}
    data = description_of(job.train)
    return Card(architecture, data.dataset, job.variant, job.seed, call.key, about, kept, tuple(data.classes))


def is_made(job: Training, key: str) -> bool:
    """Whether the job's folder holds what this very job makes."""
    return (job.output / "discriminator.json").exists() and load_card(job.output).key == key


@contextmanager
def hold_lock(job: Training, key: str) -> Iterator[None]:
    """Hold the job's lock, because a killed job may have left a process behind that still trains."""
    lock = FileLock(job.checkpoints / f"{key}.lock")
    try:
        with lock.acquire(blocking=False):
            yield
    except Timeout:
        log.warning("another process trains %s: waiting for it", job.output)
        with lock:
            yield


def train_discriminator(job: Training, call: Callable[[Callable[[Call], None], Call], None]) -> None:
    """Train a discriminator into its folder; `call` runs a function with its argument on workers of its choice.

    Checkpoints are kept under the job's provenance key until the job is done: a killed job resumes from them, and a
    changed job cannot use them. If another process runs the same job, its result is used. Raises ValueError if there
    are fewer images than in a batch, DivergedError, naming the job, if the loss is not finite.
    """
    images = description_of(job.train).count
    if images < job.training.batch_size:
        raise ValueError(f"{job.train} holds {images} images, fewer than a batch of {job.training.batch_size}")
    key = job.key()
    folder = (job.checkpoints / key).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    job.output.mkdir(parents=True, exist_ok=True)
    name = "/".join(job.output.resolve().parts[1:][-4:])  # fewer in a folder outside of a study
    with hold_lock(job, key):
        if is_made(job, key):
            return
        try:
            steps = iterations_of(job.training, images)
            with saving_first(folder / REQUEST), show_progress(folder / "history.csv", steps, f"{job.stage()} {name}"):
                call(train_on_this_worker, Call(job.absolute(), folder, key, job.origin()))
        except (DivergedError, FloatingPointError) as error:
            raise DivergedError(f"{job.stage()} of {name} diverged: {error}; its history is in {folder}") from error
        shutil.rmtree(folder)


def train_on_workers(job: Training, times: Times) -> None:
    """Train a discriminator into its folder on Ray's workers; raises what `train_discriminator` raises."""
    train_discriminator(job, lambda function, call: run_on_workers(function, call, job.resources, times))
