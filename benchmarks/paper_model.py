"""A study's whole DAG on so many GPUs, on paper: a greedy schedule of jobs whose lengths are reckoned; no device."""

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from fig import costs
from fig.rates import Device
from fig.study import Config, Discriminator, list_discriminators, list_parents, rule_of, split_teacher

STARTING = 30.0  # seconds of a job before and after its work: Python, Ray, MLflow
NOTICED = 60.0  # seconds until Snakemake has seen that a job has ended: it asks Slurm once in a while
SUBMITTED = 1.0  # jobs a second
STREAM = 1e9  # bytes a second that a job writes to a shared file system when it is alone on it
SAVING = 0.02  # share of a training's time that may go into checkpoints, as in fig/stages/support/trainer.py
HEAD = ["GPUs", "of them for a training", "hours", "all work shared out, h", "longest chain, h", "submission, h"]
HEAD += ["MLflow, h", "GPUs busy", "inputs, MB/s", "checkpoints, GB/s", "bottleneck"]


@dataclass(frozen=True)
class Job:
    """A job, how long it takes once it has its GPUs, and the jobs that it waits for."""

    rule: str
    seconds: float
    needs: tuple[str, ...]
    reads: float  # bytes
    gpus: int = 1


@dataclass(frozen=True)
class Bounds:
    """Seconds that a study takes at least, for each of the things that it may have to wait for."""

    work: float  # of all GPUs together
    chain: float  # the longest chain of jobs
    submission: float
    mlflow: float

    @property
    def tightest(self) -> str:
        """The one that decides."""
        named = {"GPUs": self.work, "longest chain": self.chain, "submission": self.submission, "MLflow": self.mlflow}
        return max(named, key=named.__getitem__)


def parents(config: Config, found: Discriminator) -> tuple[str, ...]:
    """The discriminators that a training starts from and follows."""
    stage = rule_of(config, found.variant, found.network)
    if stage in ("pretrain", "retrain", "adopt"):
        return ()
    folder = f"{found.id_dataset}/{found.network}/standard/{found.seed}"
    if stage == "finetune":
        return (folder,)
    network, variant = split_teacher(config.variants[found.variant])
    return folder, f"{found.id_dataset}/{network}/{variant}/{found.seed}"


def jobs_of(config: Config, gpu: Device, workers: int = 1, efficiency: float = 1.0) -> dict[str, Job]:
    """Every training and evaluation by name, on a kind of GPU.

    A training is shared by `workers` GPUs, of whose rates the share `efficiency` is had.
    """
    jobs: dict[str, Job] = {}
    for found in (*list_discriminators(config), *list_parents(config)):
        stage, size = rule_of(config, found.variant, found.network), config.datasets[found.id_dataset].size
        speed = workers * efficiency if workers > 1 else 1
        seconds = STARTING + gpu.seconds(costs.training_work(config, found)) / speed
        image = 3 * size**2
        train = image * costs.TRAINING_IMAGES
        jobs[found.path] = Job(stage, seconds, parents(config, found), train, workers)
        if found.detectors:
            seconds = STARTING + gpu.seconds(costs.evaluation_work(config, found))
            tests = image * costs.TEST_IMAGES * (1 + len(found.ood_datasets))
            jobs[f"{found.path} evaluated"] = Job("evaluate", seconds, (found.path,), train + tests)
    return jobs


def followers(jobs: Mapping[str, Job]) -> dict[str, list[str]]:
    """The jobs that wait for each job."""
    found: dict[str, list[str]] = {name: [] for name in jobs}
    for name, job in jobs.items():
        for need in job.needs:
            found[need].append(name)
    return found


def chains(jobs: Mapping[str, Job]) -> dict[str, float]:
    """Seconds from each job's start to the end of the last job behind it, with as many GPUs as they like."""
    children, known = followers(jobs), {}

    def chain(name: str) -> float:
        if name not in known:
            known[name] = jobs[name].seconds + max((NOTICED + chain(each) for each in children[name]), default=0.0)
        return known[name]

    return {name: chain(name) for name in jobs}


def priorities(jobs: Mapping[str, Job]) -> dict[str, float]:
    """Which job begins before another, as the workflow says it: the longest training first, evaluations last."""
    return {name: 0.0 if job.rule == "evaluate" else job.seconds for name, job in jobs.items()}


def makespan(jobs: Mapping[str, Job], gpus: int, before: Mapping[str, float]) -> float:
    """Seconds until the last job ends, each started when its GPUs are free, those with the highest `before` first.

    Jobs are submitted one after the other, SUBMITTED a second.
    """
    children, waiting = followers(jobs), {name: set(job.needs) for name, job in jobs.items()}
    events = [(0.0, -before[name], "submit", name) for name in jobs if not waiting[name]]
    heapify(events)
    ready: list[tuple[float, str]] = []
    now, free, submitted = 0.0, gpus, 0.0
    while events:
        now, place, kind, name = heappop(events)
        if kind == "submit":
            submitted = max(now, submitted) + 1 / SUBMITTED
            heappush(events, (submitted, place, "queue", name))
        elif kind == "queue":
            heappush(ready, (place, name))
        else:
            free += jobs[name].gpus
            for child in children[name]:
                waiting[child].discard(name)
                if not waiting[child]:
                    heappush(events, (now + NOTICED, -before[child], "submit", child))
        while ready and jobs[ready[0][1]].gpus <= free:
            place, started = heappop(ready)
            free -= jobs[started].gpus
            heappush(events, (now + jobs[started].seconds, place, "end", started))
    return now


def bounds(jobs: Mapping[str, Job], gpus: int, mirroring: float) -> Bounds:
    """What the study takes at least; `mirroring` is a job's seconds in MLflow, where one waits for another."""
    work = sum(job.seconds * job.gpus for job in jobs.values()) / gpus
    return Bounds(work, max(chains(jobs).values()), len(jobs) / SUBMITTED, len(jobs) * mirroring)


def row(config: Config, gpu: Device, gpus: int, shared: int, efficiency: float, mirroring: float) -> list[str]:
    """One row of the table: the study on so many GPUs, each training on `shared` of them."""
    jobs = jobs_of(config, gpu, shared, efficiency)
    least = bounds(jobs, gpus, mirroring)
    taken = makespan(jobs, gpus, priorities(jobs))
    seconds = (taken, least.work, least.chain, least.submission, least.mlflow)
    busy = least.work / taken
    read = sum(job.reads for job in jobs.values()) / taken / 1e6
    saving = gpus / shared * busy * SAVING * STREAM / 1e9
    hours = [f"{each / 3600:,.1f}" for each in seconds]
    return [str(gpus), str(shared), *hours, f"{busy:.0%}", f"{read:,.1f}", f"{saving:,.2f}", least.tightest]


def longest(jobs: Mapping[str, Job], count: int = 3) -> list[str]:
    """The longest jobs and their hours."""
    found = sorted(jobs, key=lambda name: -jobs[name].seconds)[:count]
    return [f"{name}: {jobs[name].seconds / 3600:,.0f} h" for name in found]
