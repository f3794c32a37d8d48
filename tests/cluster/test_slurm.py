"""The study on a real Slurm of two nodes, both this machine: tests/tiny.yaml by `snakemake --profile slurm`."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from support.barriers import AFTER_CHECKPOINT, Barrier, barrier_in
from support.processes import hash_of, processes_of, ray_processes, wait_for
from support.workspace import Workspace, copy_of_project

HERE = Path(__file__).parent
MISSING = not shutil.which("slurmctld", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.long,
    pytest.mark.timeout(2400),  # the first waits for the study, on Slurm and without
    pytest.mark.skipif(MISSING, reason="Slurm is not installed: apt-get install slurm-wlm munge"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start Slurm's daemons"),
]
OPTIONS = ("--profile", "slurm", "--configfile", "tests/tiny.yaml")
DISCRIMINATORS = "results/tiny/discriminators/digits/resnet18"
MODEL = f"{DISCRIMINATORS}/standard/0/model.safetensors"
PRETRAINING = "rule_pretrain_wildcards_tiny_digits_resnet18_0"  # Slurm's comment on its job


STARTED: list[subprocess.Popen[bytes]] = []  # every Snakemake, for what a failed test leaves


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    """A Slurm, of which a machine has one at a time: another session of the tests waits for its turn."""
    with FileLock(Path(tempfile.gettempdir()) / "fig-slurm.lock"):
        subprocess.run([HERE / "slurm.sh", "up"], check=True)
        yield
        for running in STARTED:
            running.kill()
            running.wait()
        subprocess.run([HERE / "slurm.sh", "down"], check=True)


def copy_at_site(folder: Path) -> Workspace:
    """A copy of the project at the site of the local Slurm."""
    workspace = copy_of_project(folder)
    shutil.copytree(HERE / "site", folder / "profiles" / "default")
    return workspace


def pretraining(folder: Path, finished: Workspace) -> Workspace:
    """A copy at the site, in which nothing is left to do for a pretraining but itself."""
    folder.mkdir(exist_ok=True)
    workspace = copy_at_site(folder)
    (folder / "data").symlink_to(finished.folder / "data")
    return workspace


def started(workspace: Workspace, *options: str, **environment: str) -> subprocess.Popen[bytes]:
    """Snakemake pretraining in the workspace; what it says is in output.txt."""
    with (workspace.folder / "output.txt").open("a") as output:
        running = subprocess.Popen(
            ["snakemake", MODEL, *OPTIONS, *options],
            cwd=workspace.folder,
            env=workspace.environment | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    STARTED.append(running)
    return running


def ended(running: subprocess.Popen[bytes], workspace: Workspace) -> None:
    """Wait for a Snakemake that shall succeed."""
    assert running.wait() == 0, (workspace.folder / "output.txt").read_text()


def first_row_at(workspace: Workspace) -> float:
    """When the first row of the pretraining's history was written."""
    first = (workspace.folder / DISCRIMINATORS / "standard/0/history.csv").read_text().splitlines()[1]
    return float(first.split(",")[1])


def asked(command: str) -> str:
    return subprocess.run(command.split(), text=True, capture_output=True, check=True).stdout


def jobs(workspace: Workspace) -> dict[str, list[str]]:
    """Slurm's descriptions of a workspace's jobs, oldest first, by their comment: the rule and its wildcards."""
    found: dict[str, list[str]] = {}
    for line in asked("scontrol --oneliner show job").splitlines():
        if f"WorkDir={workspace.folder} " in line:
            found.setdefault(re.search(r"Comment=(\S*)", line)[1], []).append(line)
    return {comment: sorted(lines, key=number) for comment, lines in found.items()}


def number(job: str) -> int:
    return int(re.search(r"JobId=(\d+)", job)[1])


def requeued(workspace: Workspace) -> None:
    """Wait until Slurm has put the pretraining back into the queue, and have it start again at once."""
    (job,) = wait_for(
        lambda: [job for job in jobs(workspace)[PRETRAINING] if "JobState=PENDING" in job], "requeued job"
    )
    asked(f"scontrol update JobId={number(job)} StartTime=now")  # Slurm would wait for two minutes


@dataclass(frozen=True)
class Overtime:
    """A pretraining that is held until its time is over: it asks Slurm for a minute at first, then for half an hour."""

    workspace: Workspace
    barrier: Barrier
    running: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def overtime(slurm: None, finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Overtime]:
    """Started before everything else, on the node that the others leave idle, for it mostly waits."""
    workspace = pretraining(tmp_path_factory.mktemp("overtime"), finished)
    barrier = barrier_in(workspace)
    barrier.close(AFTER_CHECKPOINT)
    there = ("slurm_partition=both", "slurm_extra=--nodelist=node2", "gpu=0", "runtime=29 * attempt - 28")
    asks = ("--set-resources", *(f"pretrain:{resource}" for resource in there))
    yield Overtime(workspace, barrier, started(workspace, "--retries", "1", *asks, **barrier.environment))
    barrier.open()


@dataclass(frozen=True)
class Run:
    """A whole run on Slurm, in which a pretraining was requeued."""

    workspace: Workspace
    output: str
    jobs: dict[str, list[str]]
    at: float


@pytest.fixture(scope="module")
def run(overtime: Overtime, tmp_path_factory: pytest.TempPathFactory) -> Run:
    workspace = copy_at_site(tmp_path_factory.mktemp("slurm"))
    barrier = barrier_in(workspace)
    barrier.close(AFTER_CHECKPOINT)
    running = started(workspace, **barrier.environment)
    barrier.wait()
    (job,) = jobs(workspace)[PRETRAINING]
    asked(f"scontrol requeue {number(job)}")
    at = time.time()
    requeued(workspace)
    barrier.open()
    ended(running, workspace)
    done = workspace.run("snakemake", *OPTIONS)
    return Run(workspace, done.stdout + done.stderr, jobs(workspace), at)


def test_slurm_gives_the_results_of_one_machine(run: Run, finished: Workspace):
    local = sorted(finished.folder.glob("results/tiny/discriminators/**/model.safetensors"))
    assert len(local) == 5
    for model in local:
        here = run.workspace.folder / model.relative_to(finished.folder)
        assert hash_of(here) == hash_of(model), here
    metrics = "results/tiny/metrics.csv"
    assert (run.workspace.folder / metrics).read_text() == (finished.folder / metrics).read_text()


def test_a_requeued_pretraining_resumes_from_its_checkpoint(run: Run):
    (job,) = run.jobs[PRETRAINING]
    assert "Restarts=1" in job and "JobState=COMPLETED" in job
    assert first_row_at(run.workspace) < run.at, "the first iterations were done again"


def test_trainings_ask_slurm_for_a_gpu(run: Run):
    for rule in ("pretrain", "retrain", "finetune", "transfer"):
        asked_for = [job for comment in run.jobs if comment.startswith(f"rule_{rule}_") for job in run.jobs[comment]]
        assert asked_for and all("gpu:1" in job for job in asked_for), rule


def test_jobs_alike_that_are_ready_together_are_one_array(run: Run):
    first, *_ = re.findall(r"Submitted array job with Snakemake IDs ([\d,]+)", run.output)
    assert len(first.split(",")) == 3, "the test split of digits and the two OOD sets wait for nothing"


def test_each_target_and_the_report_are_jobs_of_their_own(run: Run):
    assert (run.workspace.folder / "results/tiny/report.html").exists()
    for rule in ("table2", "paired", "comparison", "scores", "metrics", "report"):
        assert [comment for comment in run.jobs if comment.startswith(f"rule_{rule}")], rule


def test_a_failed_discriminators_error_is_in_the_output_and_its_log_with_the_results(
    slurm: None, finished: Workspace, tmp_path: Path
):
    workspace = pretraining(tmp_path, finished)
    workspace.edit("tests/tiny.yaml", "pretraining: {", "pretraining: {learning_rate: 1.0e+6, ")
    done = workspace.run("snakemake", MODEL, *OPTIONS, "--retries", "0", check=False)
    assert done.returncode and "diverged" in done.stdout + done.stderr
    log = "results/tiny/logs/pretrain/digits/resnet18/standard/0.log"
    assert "diverged" in (tmp_path / log).read_text() and log in done.stdout + done.stderr


def processes_on(node: str, workspace: Workspace) -> list[psutil.Process]:
    """What runs in Slurm's jobs of this workspace on one of its nodes."""
    found = []
    for process in processes_of(workspace):
        with suppress(psutil.Error):
            if process.environ().get("SLURMD_NODENAME") == node:
                found.append(process)
    return found


def test_a_training_over_two_nodes_outlives_one_of_them_and_gives_the_weights_of_one_node(
    slurm: None, finished: Workspace, tmp_path: Path
):
    over_two, on_one = (pretraining(tmp_path / name, finished) for name in ("two", "one"))
    over_two.edit("tests/tiny.yaml", "training: {workers: 0}", "training: {workers: 2, nodes: 2}")
    on_one.edit("tests/tiny.yaml", "training: {workers: 0}", "training: {workers: 2}")
    barrier = barrier_in(over_two)
    barrier.close(AFTER_CHECKPOINT)
    asks = ("--set-resources", "pretrain:slurm_partition=both", "pretrain:gpu=0")
    running = started(over_two, *asks, **barrier.environment)
    barrier.wait()
    (job,) = jobs(over_two)[PRETRAINING]
    assert " NodeList=node[1-2] " in job
    for node in ("node1", "node2"):
        assert [p for p in processes_on(node, over_two) if "ray::RayTrainWorker" in p.cmdline()], node
    asked("scontrol update NodeName=node2 State=DOWN Reason=test")
    at = time.time()
    for process in processes_on("node2", over_two):
        with suppress(psutil.Error):
            process.kill()
    wait_for(lambda: "JobState=PENDING" in jobs(over_two)[PRETRAINING][0], "requeued job")
    wait_for(lambda: not ray_processes(over_two), "end of Ray on the other node")
    resume = ["scontrol", "update", "NodeName=node2", "State=RESUME"]
    subprocess.run(resume, check=False, capture_output=True)  # Slurm may have, as the node's daemon lives
    barrier.open()
    requeued(over_two)
    ended(running, over_two)
    on_one.snakemake(MODEL, "--workflow-profile", "none")
    assert hash_of(over_two.folder / MODEL) == hash_of(on_one.folder / MODEL)
    assert first_row_at(over_two) < at, "the first iterations were done again"
    wait_for(lambda: not ray_processes(over_two), "end of Ray")


def test_a_training_beyond_its_time_or_cancelled_resumes_from_its_checkpoint(overtime: Overtime, finished: Workspace):
    barrier, workspace = overtime.barrier, overtime.workspace
    wait_for(lambda: len(jobs(workspace).get(PRETRAINING, [])) == 2, "second attempt")
    first, second = jobs(workspace)[PRETRAINING]
    assert "JobState=TIMEOUT" in first and "TimeLimit=00:30:00" in second
    barrier.close(AFTER_CHECKPOINT)
    barrier.wait()
    at = time.time()
    asked(f"scancel {number(second)}")
    assert overtime.running.wait() and not (workspace.folder / MODEL).exists()
    ended(started(workspace), workspace)
    assert hash_of(workspace.folder / MODEL) == hash_of(finished.folder / MODEL)
    assert len(jobs(workspace)[PRETRAINING]) == 3
    assert first_row_at(workspace) < at, "the first iterations were done again"


def test_the_next_run_ends_the_slurm_of_one_that_was_killed(slurm: None):
    daemons = [p for p in psutil.process_iter(["name"]) if p.info["name"] in ("slurmctld", "slurmd")]
    for daemon in daemons:
        daemon.kill()
    psutil.wait_procs(daemons)
    subprocess.run([HERE / "slurm.sh", "up"], check=True)
    assert asked("sinfo --noheader --partition=both --format=%T") == "idle\n"
