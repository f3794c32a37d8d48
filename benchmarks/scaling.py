"""What jobs cost beside their work, how work scales with workers, and what a whole study would wait for.

Example: python benchmarks/scaling.py overhead workers --rounds 3
"""

import json
import secrets
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import cyclopts
import many_runs
import paper_model
from cyclopts import Parameter
from cyclopts.validators import Number
from digits import digits
from processes import ROOT, environment, free_port, run_python, wait_for
from ratios import Ratio, machine, seconds, table
from tqdm import tqdm

from fig import costs
from fig.runtime.cluster import run_on_workers
from fig.runtime.record import Times
from fig.settings import Resources

BATCH, WARM, COUNTED = 128, 3, 12  # images of a training iteration; iterations before, and those that are timed
SCORED = 256  # images
RAY_ALONE = (  # what Ray's documentation calls a minimal run; "local", for else it joins any other Ray on the node
    "import os, sys, ray; from ray.train import RunConfig, ScalingConfig; from ray.train.torch import TorchTrainer; "
    "ray.init(os.environ.get('RAY_ADDRESS', 'local')); "
    "TorchTrainer(lambda: None, scaling_config=ScalingConfig(num_workers=1), "
    "run_config=RunConfig(storage_path=sys.argv[1])).fit()"
)
DOOR = (
    "import sys; from fig.runtime.cluster import run_on_workers; from fig.runtime.record import Times; "
    "from fig.settings import Resources; run_on_workers(abs, 0, Resources(int(sys.argv[1])), Times())"
)


class Part(StrEnum):
    """What is measured."""

    OVERHEAD = "overhead"
    RUNNING = "running"  # overhead on a cluster that runs already
    WORKERS = "workers"
    STAGES = "stages"
    MLFLOW = "mlflow"
    PAPER = "paper"


def in_turn(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every way of doing it, `rounds` times all of them."""
    times: dict[str, list[float]] = defaultdict(list)
    with tqdm(total=rounds * len(ways), leave=False) as bar:
        for _ in range(rounds):
            for name, way in ways.items():
                bar.set_description(name)
                times[name].append(seconds(way))
                bar.update()
    return times


@contextmanager
def running_cluster(folder: Path) -> Iterator[dict[str, str]]:
    """A Ray cluster of this machine: the environment of those who use it."""
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    address = f"127.0.0.1:{free_port()}"
    env = environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token))
    options = ["--head", "--block", f"--port={address.partition(':')[2]}", "--num-cpus=2", f"--temp-dir={folder}/ray"]
    options += ["--node-ip-address=127.0.0.1", "--include-dashboard=false", "--disable-usage-stats"]
    ray = Path(sys.executable).with_name("ray")
    with (folder / "ray.log").open("w") as log:
        head = subprocess.Popen([ray, "start", *options], env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(lambda: "Ray runtime started" in (folder / "ray.log").read_text(), head, folder / "ray.log")
        yield env | {"RAY_ADDRESS": address}
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(60)


def stage_without_work(folder: Path, workers: int) -> Callable[[], None]:
    """A whole `pretrain` of no iterations, MLflow included, of another seed each time."""
    number = iter(range(1000 * workers, 1000 * workers + 1000))

    def run() -> None:
        seed = str(next(number))
        command = ["-m", "fig.stages.pretrain", "--train", f"{folder}/32/digits/train.npy", "--network", "resnet18"]
        command += ["--architecture", '{"width": 0.0625}', "--augmentation.size", "32", "--seed", seed]
        command += ["--training.epochs", "0", "--training.batch-size", str(BATCH)]
        command += ["--output", f"{folder}/results/none/discriminators/digits/resnet18/standard/{seed}"]
        command += ["--checkpoints", f"{folder}/results/none/checkpoints", "--resources.workers", str(workers)]
        run_python(command, environment())

    return run


def overhead(rounds: int) -> None:
    """Whole processes with nothing to do, against a minimal run of Ray Train's."""
    with TemporaryDirectory(prefix="scaling") as name:
        folder = Path(name)
        digits(folder)
        own = environment()
        ways = {
            "Ray alone": lambda: run_python(["-c", RAY_ALONE, name], own),
            "run_on_workers": lambda: run_python(["-c", DOOR, "1"], own),
            "run_on_workers in this process": lambda: run_python(["-c", DOOR, "0"], own),
            "pretrain of no iterations": stage_without_work(folder, 1),
            "the same, workers: 0": stage_without_work(folder, 0),
        }
        ways["the same, workers: 0"]()  # makes MLflow's database
        print_overhead(in_turn(ways, rounds), "Ray alone")


def running(rounds: int) -> None:
    """The same on a cluster that runs already."""
    with TemporaryDirectory(prefix="scaling") as name, running_cluster(Path(name)) as joined:
        ways = {
            "Ray alone on a running cluster": lambda: run_python(["-c", RAY_ALONE, name], joined),
            "run_on_workers on it": lambda: run_python(["-c", DOOR, "1"], joined),
        }
        print_overhead(in_turn(ways, rounds), "Ray alone on a running cluster")


def print_overhead(times: Mapping[str, list[float]], reference: str) -> None:
    """A row for each way: its seconds over those of the reference's, pair by pair."""
    rows = [[name, str(Ratio(taken, times[reference]))] for name, taken in times.items()]
    table(["a whole process", f"seconds over those of: {reference}"], rows)


@dataclass(frozen=True)
class Speed:
    """How fast all workers together are, and what an image costs them."""

    images: float  # a second
    core: float  # seconds of a core for an image


def speeds(call: tuple[Path, float]) -> dict[str, Speed]:
    """Speed of a training and of a scoring; the first images do not count."""
    import torch

    from fig import parallel
    from fig.data.arrays import open_split
    from fig.data.augment import Augmentation
    from fig.detectors.table import build_detector
    from fig.discriminator import Architecture, Discriminator
    from fig.evaluation import EvaluationSettings, evaluated, fitted
    from fig.frozen import frozen
    from fig.methods.standard import Standard
    from fig.training import TrainingSettings, players_of, train

    def since(began: tuple[float, float], images: int) -> Speed:
        core = torch.tensor([time.process_time() - began[1]])
        parallel.sum_over_workers([core])
        return Speed(images / (time.perf_counter() - began[0]), core.item() / images)

    path, width = call
    data, discriminator = open_split(path), Discriminator(Architecture("resnet18", 10, 32, width))
    settings = TrainingSettings(learning_rate=0.01, iterations=WARM + COUNTED, batch_size=BATCH)
    players = players_of(discriminator, Standard(), settings, seed=0)
    for done, _ in train(discriminator, players, data, Standard(), settings, Augmentation(32, 2), seed=0):
        if done == WARM:
            began = time.perf_counter(), time.process_time()
    trained = since(began, BATCH * COUNTED)
    odin = {"odin": build_detector("odin", {"temperatures": [1, 1000], "magnitudes": [0, 0.002]})}
    with frozen(discriminator):
        scorers = fitted(odin, discriminator, data, 0, EvaluationSettings(training_images=64))
        evaluated(odin, scorers, discriminator, data, EvaluationSettings(batch=64, images=64))
        began = time.perf_counter(), time.process_time()
        evaluated(odin, scorers, discriminator, data, EvaluationSettings(batch=64, images=SCORED))
    return {"training": trained, "scoring": since(began, SCORED)}


def workers(rounds: int, width: float) -> None:
    """One worker, two, and one with two threads, in turn, against one worker with one thread."""
    ways = {
        "1 worker": Resources(1),
        "2 workers": Resources(2),
        "1 worker of 2 threads": Resources(1, cpus_per_worker=2),
    }
    with TemporaryDirectory() as name:
        digits(Path(name))
        call = Path(name) / "32" / "digits" / "train.npy", width
        found = [
            {way: run_on_workers(speeds, call, resources, Times()) for way, resources in ways.items()}
            for _ in tqdm(range(rounds), desc="rounds", leave=False)
        ]
    rows = []
    for what in ("training", "scoring"):
        for way in ways:
            pairs = [(each[way][what], each["1 worker"][what]) for each in found]
            faster = [own.images / one.images for own, one in pairs]
            dearer = [own.core / one.core for own, one in pairs]
            rows.append([what, way, f"{median(own.images for own, _ in pairs):.3g}", between(faster), between(dearer)])
    table(["what", "with", "images a second", "times as fast as 1 worker", "cores' seconds an image"], rows)


def between(ratios: Sequence[float]) -> str:
    """Median, smallest and largest of some ratios."""
    return f"{median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"


def stages(run: Path) -> None:
    """Where the seconds of a finished run's jobs went, by stage, and how long a job waited for the one before it."""
    records = [json.loads(path.read_text()) for path in run.glob("discriminators/*/*/*/*/*.record.json")]
    times = [{"stage": each["stage"], **each["times"]} for each in records]
    if not times:
        print(f"{run} holds no records: run a study first, as `make demo` does")
        return
    by_stage = defaultdict(list)
    for each in times:
        by_stage[each["stage"]].append(each)
    parts, rows = ("startup", "work", "ray", "tracking"), []
    for stage, jobs in by_stage.items():
        cells = [f"{median(job[part] for job in jobs):.1f}" for part in parts]
        whole = sum(job["ended"] - job["started"] for job in jobs)
        rows.append([stage, str(len(jobs)), *cells, f"{1 - sum(job['work'] for job in jobs) / whole:.1%}"])
    table(["stage", "jobs", *(f"{part}, s" for part in parts), "not work"], rows)
    ends = sorted(job["ended"] for job in times)
    gaps = [job["started"] - max(before) for job in times if (before := [e for e in ends if e < job["started"]])]
    print(f"from the end of a job to the start of the next: {median(gaps):.2f} s (median of {len(gaps)})", flush=True)


def paper(mirroring: float, efficiency: float) -> None:
    """The paper's study on 8, 64 and 512 GPUs, of which one or eight share a training."""
    config = paper_model.study_of(ROOT / "config" / "paper.yaml")
    rate = costs.ASSUMED["gpu"]
    print(f"a GPU: {rate.units:,.0f} ResNet18 images of 32 x 32 pixels a second ({rate.source})")
    for line in paper_model.longest(paper_model.jobs_of(config, rate.units)):
        print(line)
    rows = [
        paper_model.row(config, rate.units, gpus, shared, efficiency, mirroring)
        for shared in (1, 8)
        for gpus in (8, 64, 512)
    ]
    table(paper_model.HEAD, rows)


def main(
    *parts: Annotated[Part, Parameter(help="What to measure; everything where nothing is named.")],
    rounds: Annotated[int, Parameter(validator=Number(gte=1), help="Times that each way is timed, in turn.")] = 3,
    width: Annotated[float, Parameter(help="Width of the ResNet18 that workers train.")] = 0.25,
    run: Annotated[Path, Parameter(help="Folder of a finished run.")] = ROOT / "results" / "demo",
    runs: Annotated[int, Parameter(validator=Number(gte=20), help="Discriminators in MLflow.")] = 500,
    metrics: Annotated[int, Parameter(validator=Number(gte=2), help="Evaluation metrics of each.")] = 60,
    mirroring: Annotated[float, Parameter(help="Seconds of a job in MLflow, for the paper's study.")] = 0.5,
    efficiency: Annotated[float, Parameter(help="Of eight GPUs that share a training, assumed.")] = 0.8,
) -> None:
    """Print the tables of the section Scaling of docs/results/performance.md."""
    print(machine(), flush=True)
    ways = {
        Part.OVERHEAD: lambda: overhead(rounds),
        Part.RUNNING: lambda: running(rounds),
        Part.WORKERS: lambda: workers(rounds, width),
        Part.STAGES: lambda: stages(run),
        Part.MLFLOW: lambda: many_runs.measure(runs, metrics),
        Part.PAPER: lambda: paper(mirroring, efficiency),
    }
    for part in parts or ways:
        print(f"\n{part}", flush=True)
        ways[part]()


if __name__ == "__main__":
    cyclopts.run(main)
