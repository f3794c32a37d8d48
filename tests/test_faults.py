"""What becomes of a run when something goes wrong outside of it, done for real."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch

from fig.discriminator import Discriminator
from fig.sampler import Samples
from fig.settings import SamplerSettings
from fig.stages.support.scoring import draw_samples
from support.barriers import (
    AFTER_CHECKPOINT,
    BEFORE_CHECKPOINT,
    BETWEEN_SCORES,
    WRITING_CHECKPOINT,
    Barrier,
)
from support.disks import mounted_disk
from support.processes import (
    HANGS,
    count_saved_rows,
    find_processes,
    hash_of,
    is_agent,
    processes_of,
    ray_processes,
    wait_for,
)
from support.study import FIG, RESULTS, STANDARD, forget, requested, start, start_snakemake, without
from support.workspace import ROOT, Workspace

pytestmark = pytest.mark.pipeline


def test_a_discriminator_that_diverges_is_a_gap_in_the_report_of_the_others(workspace: Workspace):
    workspace.edit("tests/tiny.yaml", "variants: [standard, fig, ", "variants: [standard, wild, fig, ")
    wild = "  wild: {method: fig, finetuning: {learning_rate: 1.0e+6}}\n"
    workspace.edit("tests/tiny.yaml", "  fig: {method: fig}\n", f"  fig: {{method: fig}}\n{wild}")
    done = workspace.snakemake(check=False)
    assert done.returncode and "diverged" in done.stdout + done.stderr
    page = (workspace.folder / "results/tiny/partial.html").read_text()
    assert "Missing of digits/resnet18: wild (0): finetune of digits/resnet18/wild/0 diverged" in page
    assert "fig-teacher-vgg19" in page and "AUROC" in page
    workspace.edit("tests/tiny.yaml", "variants: [standard, wild, fig, ", "variants: [standard, fig, ")
    assert workspace.planned() == {
        "table2",
        "paired",
        "comparison",
        "finetuning",
        "scores",
        "samples",
        "metrics",
        "report",
    }


def test_a_second_run_of_the_same_study_is_refused_while_the_first_works(workspace: Workspace, barrier: Barrier):
    without(workspace, f"{FIG}/model.safetensors")
    barrier.close(BEFORE_CHECKPOINT)
    first = start_snakemake(workspace, barrier, f"{FIG}/model.safetensors")
    barrier.wait()
    second = workspace.snakemake(check=False)
    assert second.returncode and "locked" in second.stdout + second.stderr
    assert first.poll() is None
    barrier.open()
    assert first.wait() == 0


def test_a_job_that_another_process_does_already_waits_and_gives_the_same_weights(
    workspace: Workspace, barrier: Barrier
):
    expected = hash_of(workspace.folder / FIG / "model.safetensors")
    barrier.close(BEFORE_CHECKPOINT)
    first = start(forget(workspace, "finetune", workers=0), workspace, barrier)
    assert barrier.wait().pid == first.pid
    log = workspace.folder / "results/tiny/logs/finetune/digits/resnet18/fig/0.log"
    second = start_snakemake(workspace, barrier, f"{FIG}/model.safetensors")
    wait_for(lambda: log.exists() and "waiting for it" in " ".join(log.read_text().split()), "second job that waits")
    assert first.poll() is None
    barrier.open()
    assert second.wait() == 0
    first.communicate()
    assert hash_of(workspace.folder / FIG / "model.safetensors") == expected


def test_after_snakemake_is_killed_its_job_saves_and_ends_and_the_next_run_gives_the_same_weights(
    workspace: Workspace, barrier: Barrier
):
    expected = hash_of(workspace.folder / FIG / "model.safetensors")
    without(workspace, f"{FIG}/model.safetensors")
    barrier.close(BEFORE_CHECKPOINT)
    snakemake = start_snakemake(workspace, barrier, f"{FIG}/model.safetensors")
    job = barrier.wait()
    snakemake.kill()
    snakemake.wait()
    wait_for(lambda: requested(workspace), "job that has noticed")
    barrier.open()
    psutil.wait_procs([job], HANGS)
    assert count_saved_rows(workspace.folder)
    workspace.snakemake("--unlock")
    workspace.snakemake(f"{FIG}/model.safetensors")
    assert hash_of(workspace.folder / FIG / "model.safetensors") == expected


WORKER, DRIVER, SNAKEMAKE, RAYLET = "ray::RayTrainWorker", "-m fig.stages", "bin/snakemake", "raylet/raylet"
KILLED = {  # words in the command line of what is killed, in this order, and where the job is then
    WORKER: AFTER_CHECKPOINT,
    DRIVER: WRITING_CHECKPOINT,
    RAYLET: AFTER_CHECKPOINT,
    SNAKEMAKE: BEFORE_CHECKPOINT,  # the job that it leaves saves and ends
}


@pytest.mark.long
@pytest.mark.timeout(2400)  # one to two minutes on two idle cores
@pytest.mark.parametrize("stage", RESULTS)
def test_a_killed_job_resumes_from_its_last_checkpoint_and_ends_with_the_same_results(
    stage: str, finished: Workspace, workspace: Workspace, barrier: Barrier
):
    without(workspace, RESULTS[stage])
    workspace.edit("tests/tiny.yaml", "{workers: 0}", "{workers: 1}")
    kept = []  # rows of the history in the checkpoint, and when something was killed that they must outlive
    snakemake = start_snakemake(workspace, barrier, RESULTS[stage], "--retries", "2")
    for words, point in KILLED.items():
        barrier.close(BETWEEN_SCORES if stage == "evaluate" else point)
        barrier.wait()
        kept.append((count_saved_rows(workspace.folder), time.time()))
        (victim,) = find_processes(workspace, words)
        job = [*ray_processes(workspace), *find_processes(workspace, DRIVER)]
        victim.kill()
        _, alive = psutil.wait_procs(job if words in (DRIVER, RAYLET) else [victim], HANGS)
        assert not alive, f"{alive} outlive {words}"
    snakemake.wait()
    barrier.open()
    workspace.edit("tests/tiny.yaml", "{workers: 1}", "{workers: 0}")
    workspace.snakemake("--unlock")
    workspace.snakemake(RESULTS[stage])
    assert (workspace.folder / RESULTS[stage]).read_bytes() == (finished.folder / RESULTS[stage]).read_bytes()
    if stage != "evaluate":
        times = pd.read_csv((workspace.folder / RESULTS[stage]).with_name("history.csv"))["time"]
        assert kept[0][0] and all(rows and times[rows - 1] < at for rows, at in kept), (
            "a saved iteration was done again"
        )
    wait_for(lambda: not [each for each in processes_of(workspace) if not is_agent(each)], "end of all processes")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A disk of a hundred kilobytes: less than the weights take."""
    with mounted_disk(tmp_path / "disk", "100k"):
        yield tmp_path / "disk"


@pytest.mark.parametrize("read_only", [False, True], ids=["full", "read-only"])
def test_a_disk_that_cannot_be_written_is_one_sentence_and_no_result(
    finished: Workspace, mounted: Path, read_only: bool
):
    if read_only:
        subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    done = finished.run(
        *("python", "-m", "fig.stages.finetune", "--train", "data/32/digits/train.npy", "--standard", STANDARD),
        *("--output", mounted / "fig" / "0", "--checkpoints", mounted / "checkpoints", "--variant", "fig"),
        *(
            "--method",
            "gaussian",
            "--training.iterations",
            "3",
            "--augmentation.size",
            "32",
            "--resources.workers",
            "0",
        ),
        check=False,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert ("Read-only file system" if read_only else "the disk of") in done.stderr
    assert not list(mounted.glob("**/model.safetensors"))


CROWDED = """
import torch


class Crowded(torch.nn.Linear):
    def forward(self, images):
        if len(images) > 32:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(images.flatten(1))


def network():
    return Crowded(3 * 32 * 32, 10)
"""


def test_a_training_that_does_not_fit_into_memory_names_the_setting_that_makes_it_fit(
    finished: Workspace, tmp_path: Path
):
    (tmp_path / "crowded.py").write_text(CROWDED)

    def pretrained(batch_size: int) -> subprocess.CompletedProcess[str]:
        return finished.run(
            *("python", "-m", "fig.stages.pretrain", "--train", "data/32/digits/train.npy", "--network", "own"),
            *("--architecture", '{"factory": "crowded:network"}', "--augmentation.size", "32"),
            *("--output", tmp_path / "own" / "0", "--checkpoints", tmp_path, "--training.epochs", "1"),
            *(
                "--training.learning-rate",
                "0.001",
                "--training.batch-size",
                str(batch_size),
                "--resources.workers",
                "0",
            ),
            check=False,
            PYTHONPATH=f"{finished.folder}{os.pathsep}{tmp_path}",
        )

    crowded = pretrained(64)
    assert crowded.returncode == 1 and "Traceback" not in crowded.stderr
    assert "does not fit into the device's memory: lower batch_size" in crowded.stderr
    assert pretrained(32).returncode == 0


def test_an_evaluations_samples_are_drawn_in_halves_where_memory_does_not_suffice(small: Discriminator):
    def drawn() -> Samples:
        return draw_samples(small, 0, SamplerSettings(max_steps=11))

    def crowded(module: torch.nn.Module, given: tuple) -> None:
        if len(given[0]) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")

    roomy = drawn()
    with small.network.register_forward_pre_hook(crowded):
        tight = drawn()
    torch.testing.assert_close(tight.images, roomy.images)
    assert tight.steps.equal(roomy.steps)


SLOW_RAY = """
import pathlib, sys, time
tries = pathlib.Path("tries")
tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
if len(tries.read_text()) < 3:
    sys.exit("The current node timed out during startup.")
print("Ray runtime started.", flush=True)
time.sleep(600)
"""


def test_a_node_of_slurm_that_is_too_busy_for_ray_starts_it_again_and_ends_with_the_driver(tmp_path: Path):
    (tmp_path / "ray" / "scripts").mkdir(parents=True)
    (tmp_path / "ray" / "__init__.py").touch()
    (tmp_path / "ray" / "scripts" / "scripts.py").write_text(SLOW_RAY)
    node = subprocess.Popen(
        [sys.executable, "-m", "fig.runtime.slurm", "127.0.0.1:1", "--num-cpus=1"],
        cwd=tmp_path,
        env=os.environ | {"SLURM_PROCID": "0", "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        stdin=subprocess.PIPE,
    )
    wait_for(lambda: (tmp_path / "tries").exists() and len((tmp_path / "tries").read_text()) == 3, "third start")
    (ray,) = psutil.Process(node.pid).children()
    node.stdin.close()
    assert node.wait(HANGS) == 0 and not ray.is_running()


STARTS = """
import os, psutil
from fig.runtime.cluster import LOOPBACK, run_on_workers
from fig.runtime.record import Times
from fig.runtime.slurm import guard
from fig.settings import Resources

os.environ |= guard() | LOOPBACK  # before Ray is imported
from ray._private import services

def node_that_is_busy(*_, found=services.get_node, busy=[True]):
    if busy.pop() if busy else False:
        raise Exception("The current node timed out during startup.")
    return found(*_)

services.get_node = node_that_is_busy
print(run_on_workers(abs, -7, Resources(workers=1), Times()))
print([child.name() for child in psutil.Process().children(recursive=True) if child.status() != "zombie"])
"""


def test_a_ray_of_our_own_that_a_busy_machine_starts_too_late_is_started_again_and_nothing_of_the_first_is_left():
    done = subprocess.run([sys.executable, "-c", STARTS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "7\n[]\n", done.stdout + done.stderr
    assert done.stderr.count("Ray did not start in time, this machine is busy: starting it again") == 1
