"""The study on a real Slurm: tests/tiny.yaml by `snakemake --profile slurm` on a cluster of one node, this one."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_pipeline import has_saved_a_row, hashed, waited_for
from workspace import Workspace, copy_of_project

HERE = Path(__file__).parent
MISSING = not shutil.which("slurmctld", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.cluster,
    pytest.mark.timeout(1200),  # the first waits for the study, on Slurm and without
    pytest.mark.skipif(MISSING, reason="Slurm is not installed: apt-get install slurm-wlm munge"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start Slurm's daemons"),
]
OPTIONS = ("--profile", "slurm", "--configfile", "tests/tiny.yaml")
DISCRIMINATORS = "results/tiny/discriminators/digits/resnet18"


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    subprocess.run([HERE / "slurm.sh", "up"], check=True)
    yield
    subprocess.run([HERE / "slurm.sh", "down"], check=True)


def copy_at_site(folder: Path) -> Workspace:
    """A copy of the project at the site of the local Slurm."""
    workspace = copy_of_project(folder)
    shutil.copytree(HERE / "site", folder / "profiles" / "default")
    return workspace


def asked(command: str) -> str:
    return subprocess.run(command.split(), text=True, capture_output=True, check=True).stdout


def jobs() -> dict[str, str]:
    """Slurm's description of each job, by its comment: the rule and its wildcards."""
    descriptions = asked("scontrol --oneliner show job").splitlines()
    return {re.search(r"Comment=(\S*)", line)[1]: line for line in descriptions if "Comment=" in line}


@dataclass(frozen=True)
class Run:
    """A whole run on Slurm, in which a pretraining was requeued."""

    workspace: Workspace
    output: str
    jobs: dict[str, str]
    requeued: str  # its comment
    at: float


@pytest.fixture(scope="module")
def run(slurm: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    workspace = copy_at_site(tmp_path_factory.mktemp("slurm"))
    model = f"{DISCRIMINATORS}/standard/0/model.safetensors"
    with (workspace.folder / "output.txt").open("w") as output:
        pretraining = subprocess.Popen(
            ["snakemake", model, *OPTIONS],
            cwd=workspace.folder,
            env=workspace.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    waited_for(lambda: has_saved_a_row(workspace.folder), 240, "checkpoint")
    comment = "rule_pretrain_wildcards_tiny_digits_resnet18_0"
    number = re.search(r"JobId=(\d+)", jobs()[comment])[1]
    asked(f"scontrol requeue {number}")
    at = time.time()
    waited_for(lambda: "JobState=PENDING" in jobs()[comment], 60, "requeued job")
    asked(f"scontrol update JobId={number} StartTime=now")  # Slurm would wait for two minutes
    assert pretraining.wait(timeout=240) == 0, (workspace.folder / "output.txt").read_text()
    done = workspace.run("snakemake", *OPTIONS)
    return Run(workspace, done.stdout + done.stderr, jobs(), comment, at)


def test_slurm_gives_the_results_of_one_machine(run: Run, finished: Workspace):
    local = sorted(finished.folder.glob("results/tiny/discriminators/**/model.safetensors"))
    assert len(local) == 5
    for model in local:
        here = run.workspace.folder / model.relative_to(finished.folder)
        assert hashed(here) == hashed(model), here
    metrics = "results/tiny/metrics.csv"
    assert (run.workspace.folder / metrics).read_text() == (finished.folder / metrics).read_text()


def test_a_requeued_pretraining_goes_on_from_its_checkpoint(run: Run):
    assert "Restarts=1" in run.jobs[run.requeued] and "JobState=COMPLETED" in run.jobs[run.requeued]
    first = (run.workspace.folder / DISCRIMINATORS / "standard/0/history.csv").read_text().splitlines()[1]
    assert float(first.split(",")[1]) < run.at, "the first iterations were done again"


def test_trainings_ask_slurm_for_a_gpu(run: Run):
    for rule in ("pretrain", "retrain", "finetune", "transfer"):
        asked_for = [job for comment, job in run.jobs.items() if comment.startswith(f"rule_{rule}_")]
        assert asked_for and all("gpu:1" in job for job in asked_for), rule


def test_jobs_alike_that_are_ready_together_are_one_array(run: Run):
    first, *_ = re.findall(r"Submitted array job with Snakemake IDs ([\d,]+)", run.output)
    assert len(first.split(",")) == 3, "the test split of digits and the two OOD sets wait for nothing"


def test_tables_figures_and_report_are_one_job(run: Run):
    assert (run.workspace.folder / "results/tiny/report.html").exists()
    assert not [comment for comment in run.jobs if comment.startswith(("rule_tables", "rule_figures", "rule_report"))]


def test_a_failed_discriminators_error_is_in_the_output_and_its_log_beside_the_results(
    slurm: None, finished: Workspace, tmp_path: Path
):
    workspace = copy_at_site(tmp_path)
    (tmp_path / "data").symlink_to(finished.folder / "data")
    workspace.edit("tests/tiny.yaml", "pretraining: {", "pretraining: {learning_rate: 1.0e+6, ")
    model = f"{DISCRIMINATORS}/standard/0/model.safetensors"
    done = workspace.run("snakemake", model, *OPTIONS, "--retries", "0", check=False)
    assert done.returncode and "diverged" in done.stdout + done.stderr
    log = "results/tiny/logs/pretrain/digits/resnet18/standard/0.log"
    assert "diverged" in (tmp_path / log).read_text() and log in done.stdout + done.stderr
