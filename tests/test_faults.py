"""What becomes of a run when something goes wrong outside of it, done for real."""

import os
import subprocess
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
from support.workspace import Workspace

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
def test_whatever_is_killed_a_job_resumes_from_its_last_checkpoint_and_ends_with_the_same_results(
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
