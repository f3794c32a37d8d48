"""Measure the overhead of jobs, how work scales with workers, and what a whole study would wait for.

CPU seconds leave out processes that outlive those that started them, as Ray's do.

Example: python benchmarks/scaling.py overhead workers --pairs 3
"""

import json
import secrets
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Literal, get_args

import cyclopts
import many_runs
import paper_model
import torch
from cyclopts import Parameter
from cyclopts.validators import Number
from digits import write_digits
from processes import ROOT, environment, free_port, run_python, running_server
from ratios import Device, Pairs, Spent, print_head, print_machine, print_row, print_table, spend, time_in_turn
from tqdm import tqdm

from fig import parallel
from fig.data.arrays import open_split
from fig.data.augment import Augmentation
from fig.detectors.table import build_detector
from fig.discriminator import Architecture, Discriminator
from fig.evaluation import EvaluationSettings, fit_detectors, score_split
from fig.frozen import frozen
from fig.methods.standard import Standard
from fig.rates import ANY
from fig.rates import Device as RatedDevice
from fig.runtime.cluster import run_on_workers
from fig.runtime.record import Times
from fig.runtime.slurm import STARTED
from fig.settings import Resources
from fig.study import read_config
from fig.training import TrainingSettings, players_of, train

Part = Literal["overhead", "running", "workers", "stages", "mlflow", "paper"]
BATCH, WARM, COUNTED = 128, 3, 12  # images of a training iteration; iterations before, and those that are timed
SCORED = 256  # images
RAY_ALONE = (  # what Ray's documentation calls a minimal run; "local", for else it joins any other Ray on the node
    "import os, sys, ray; from ray.train import RunConfig, ScalingConfig; from ray.train.torch import TorchTrainer; "
    "ray.init(os.environ.get('RAY_ADDRESS', 'local')); "
    "TorchTrainer(lambda: None, scaling_config=ScalingConfig(num_workers=1, use_gpu=sys.argv[2] != '0'), "
    "run_config=RunConfig(storage_path=sys.argv[1])).fit()"
)
DOOR = (
    "import sys; from fig.runtime.cluster import run_on_workers; from fig.runtime.record import Times; "
    "from fig.settings import Resources; "
    "run_on_workers(abs, 0, Resources(int(sys.argv[1]), gpus_per_worker=int(sys.argv[2])), Times())"
)


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
    command, log = [Path(sys.executable).with_name("ray"), "start", *options], folder / "ray.log"
    with ExitStack() as stack:
        for last in (False, False, True):  # Ray gives up where a start takes over 30 s
            try:
                stack.enter_context(running_server(command, log, env, lambda: STARTED in log.read_text()))
                break
            except RuntimeError:
                if last:
                    raise
        yield env | {"RAY_ADDRESS": address}


def stage_without_work(folder: Path, workers: int, gpus: int) -> Callable[[], None]:
    """A whole `pretrain` of no iterations, MLflow included, of another seed each time."""
    number = iter(range(1000 * workers, 1000 * workers + 1000))

    def run() -> None:
        seed = str(next(number))
        command = ["-m", "fig.stages.pretrain", "--train", f"{folder}/32/digits/train.npy", "--network", "resnet18"]
        command += ["--architecture", '{"width": 0.0625}', "--augmentation.size", "32", "--seed", seed]
        command += ["--training.epochs", "0", "--training.batch-size", str(BATCH)]
        command += ["--output", f"{folder}/results/none/discriminators/digits/resnet18/standard/{seed}"]
        command += ["--checkpoints", f"{folder}/results/none/checkpoints", "--resources.workers", str(workers)]
        command += ["--resources.gpus-per-worker", str(gpus)]
        run_python(command, environment())

    return run


def overhead(pairs: int, gpus: int) -> None:
    """Whole processes with nothing to do, against a minimal run of Ray Train's."""
    with TemporaryDirectory(prefix="scaling") as name:
        folder = Path(name)
        write_digits(folder)
        own = environment()
        ways = {
            "Ray alone": lambda: run_python(["-c", RAY_ALONE, name, str(gpus)], own),
            "run_on_workers": lambda: run_python(["-c", DOOR, "1", str(gpus)], own),
            "run_on_workers in this process": lambda: run_python(["-c", DOOR, "0", str(gpus)], own),
            "pretrain of no iterations": stage_without_work(folder, 1, gpus),
            "the same, workers: 0": stage_without_work(folder, 0, gpus),
        }
        ways["the same, workers: 0"]()  # makes MLflow's database
        compare_with_first(ways, pairs)


def running(pairs: int, gpus: int) -> None:
    """The same on a cluster that runs already."""
    with TemporaryDirectory(prefix="scaling") as name, running_cluster(Path(name)) as joined:
        ways = {
            "Ray alone on a running cluster": lambda: run_python(["-c", RAY_ALONE, name, str(gpus)], joined),
            "run_on_workers on it": lambda: run_python(["-c", DOOR, "1", str(gpus)], joined),
        }
        compare_with_first(ways, pairs)


def compare_with_first(ways: dict[str, Callable[[], object]], pairs: int) -> None:
    """A row for each way: what it takes over what the first takes."""
    times = time_in_turn(ways, pairs)
    reference, *_ = ways
    print_head("the process", reference)
    for name, taken in times.items():
        print_row(name, taken, times[reference])


def cost_of_an_image(work: Callable[[], object], images: int, device: torch.device) -> Spent:
    """What each of the images costs all workers together that share the work."""
    spent = spend(work)
    core = torch.tensor([spent.core], device=device)
    parallel.sum_over_workers([core])
    return Spent(spent.seconds / images, core.item() / images)


def costs_of_images(call: tuple[Path, float, int]) -> dict[str, Spent]:
    """What an image costs in training and in scoring; the first ones do not count."""
    path, width, gpus = call
    data, device = open_split(path), parallel.device_for(gpus)
    discriminator = Discriminator(Architecture("resnet18", 10, 32, width)).to(device)
    settings = TrainingSettings(learning_rate=0.01, iterations=WARM + COUNTED, batch_size=BATCH)
    players = players_of(discriminator, Standard(), settings, seed=0)
    steps = train(discriminator, players, data, Standard(), settings, Augmentation(32, 2), seed=0)
    deque(islice(steps, WARM), 0)
    found = {"training": cost_of_an_image(lambda: deque(steps, 0), BATCH * COUNTED, device)}
    odin = {"odin": build_detector("odin", {"temperatures": [1, 1000], "magnitudes": [0, 0.002]})}
    with frozen(discriminator):
        scorers = fit_detectors(odin, discriminator, data, 0, EvaluationSettings(training_images=64))
        score_split(odin, scorers, discriminator, data, EvaluationSettings(batch=64, images=64))
        score = partial(score_split, odin, scorers, discriminator, data, EvaluationSettings(batch=64, images=SCORED))
        return found | {"scoring": cost_of_an_image(score, SCORED, device)}


def workers(rounds: int, width: float, gpus: int) -> None:
    """One worker, two, and one with two threads, in turn, against one worker with one thread."""
    ways = {
        "1 worker": Resources(1, gpus),
        "2 workers": Resources(2, gpus),
        "1 worker of 2 threads": Resources(1, gpus, cpus_per_worker=2),
    }
    if gpus and torch.cuda.device_count() < 2:
        del ways["2 workers"]
    with TemporaryDirectory() as name:
        call = write_digits(Path(name)), width, gpus
        found = [
            {way: run_on_workers(costs_of_images, call, resources, Times()) for way, resources in ways.items()}
            for _ in tqdm(range(rounds), desc="rounds", leave=False, disable=None)
        ]
    print_head("1 worker", "these workers", "images a second")
    for what in ("training", "scoring"):
        one = [each["1 worker"][what] for each in found]
        for way in ways:
            own = [each[way][what] for each in found]
            print_row(f"an image, {what}, {way}", one, own, f"{1 / median(each.seconds for each in own):.3g}")


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
    print_table(["stage", "jobs", *(f"{part}, s" for part in parts), "not work"], rows)
    ends = sorted(job["ended"] for job in times)
    gaps = [job["started"] - max(before) for job in times if (before := [e for e in ends if e < job["started"]])]
    if gaps:
        print(f"\nfrom the end of a job to the start of the next: {median(gaps):.2f} s (median of {len(gaps)})")


def paper(mirroring: float, efficiency: float) -> None:
    """The paper's study on 8, 64 and 512 GPUs, of which one or eight share a training."""
    config = read_config([ROOT / "config" / "paper.yaml"])
    gpu = RatedDevice("gpu", "A100")
    rate = gpu.rate(ANY)
    print(f"{gpu.name}: {rate.images:,.0f} ResNet18 images of 32 x 32 pixels a second in float32 ({rate.source})")
    print(*paper_model.longest(paper_model.jobs_of(config, gpu)), "", sep="\n")
    ways = [(shared, gpus) for shared in (1, 8) for gpus in (8, 64, 512)]
    rows = [paper_model.row(config, gpu, gpus, shared, efficiency, mirroring) for shared, gpus in ways]
    print_table(paper_model.HEAD, rows)


def main(
    *parts: Annotated[Part, Parameter(help="What to measure; everything where nothing is named.")],
    width: float = 0.25,
    run: Annotated[Path, Parameter(help="Folder of a finished run.")] = ROOT / "results" / "demo",
    runs: Annotated[int, Parameter(validator=Number(gte=20), help="Discriminators in MLflow.")] = 500,
    metrics: Annotated[int, Parameter(validator=Number(gte=2), help="Evaluation metrics of each.")] = 60,
    mirroring: Annotated[float, Parameter(help="Seconds of a job in MLflow, for the paper's study.")] = 0.5,
    efficiency: Annotated[float, Parameter(help="Of eight GPUs that share a training, assumed.")] = 0.8,
    pairs: Pairs = 3,
    device: Annotated[Device, Parameter(help="What each worker has: cpu or, with cuda, a GPU of its own.")] = "cpu",
) -> None:
    """Print the tables of the section Scaling of docs/results/performance.md."""
    print_machine(device)
    gpus = int(device != "cpu")
    ways = {
        "overhead": lambda: overhead(pairs, gpus),
        "running": lambda: running(pairs, gpus),
        "workers": lambda: workers(pairs, width, gpus),
        "stages": lambda: stages(run),
        "mlflow": lambda: many_runs.measure(runs, metrics),
        "paper": lambda: paper(mirroring, efficiency),
    }
    for part in parts or get_args(Part):
        print(f"\n{part}\n", flush=True)
        ways[part]()


if __name__ == "__main__":
    cyclopts.run(main)
