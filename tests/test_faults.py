"""What becomes of a run when something goes wrong outside of it, done for real."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch
from support.processes import (
    count_saved_rows,
    find_processes,
    find_scorers,
    hash_of,
    processes_of,
    ray_processes,
    wait_for,
)
from support.workspace import Workspace, copy_of_project, copy_of_results

from fig.discriminator import Discriminator
from fig.sampler import SamplerSettings, Samples
from fig.stages.support.scoring import draw_samples

pytestmark = pytest.mark.pipeline

FIG = "results/tiny/discriminators/digits/resnet18/fig/0"
STANDARD = "results/tiny/discriminators/digits/resnet18/standard/0"


def started(workspace: Workspace, *options: str) -> subprocess.Popen[bytes]:
    """Snakemake, running in the workspace."""
    command = ["snakemake", *options, "--profile", "local", "--configfile", "tests/tiny.yaml"]
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=workspace.folder, env=workspace.environment, stdout=nowhere, stderr=nowhere)


def without(workspace: Workspace, *paths: str) -> Workspace:
    """The workspace with these outputs lost."""
    for path in paths:
        found = workspace.folder / path
        shutil.rmtree(found) if found.is_dir() else found.unlink()
    return workspace


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    return copy_of_results(finished, tmp_path)


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


def test_whoever_runs_the_same_study_in_the_same_folder_is_told_so_at_once(finished: Workspace, tmp_path: Path):
    workspace = copy_of_project(tmp_path)
    (tmp_path / "data").symlink_to(finished.folder / "data")
    first = started(workspace, f"{STANDARD}/model.safetensors")
    try:
        wait_for(lambda: list(tmp_path.glob(".snakemake/locks/*")), 60, "lock")
        began = time.monotonic()
        second = workspace.snakemake(check=False)
        assert second.returncode and "locked" in second.stdout + second.stderr
        assert time.monotonic() - began < 30
    finally:
        first.terminate()
        first.wait(120)


def test_after_snakemake_is_killed_its_orphan_and_the_next_run_give_the_same_weights(workspace: Workspace):
    expected = hash_of(workspace.folder / FIG / "model.safetensors")
    without(workspace, f"{FIG}/model.safetensors")
    workspace.edit("tests/tiny.yaml", "iterations: 10,", "iterations: 10, precision: float32,")  # states the same
    running = started(workspace, f"{FIG}/model.safetensors")
    wait_for(lambda: [p for p in processes_of(workspace) if "fig.stages.finetune" in p.cmdline()], 120, "job")
    running.send_signal(signal.SIGKILL)
    running.wait()
    workspace.snakemake("--unlock")
    workspace.snakemake(f"{FIG}/model.safetensors")
    assert hash_of(workspace.folder / FIG / "model.safetensors") == expected
    wait_for(lambda: not [p for p in processes_of(workspace) if "fig.stages" in " ".join(p.cmdline())], 60, "end")
    assert hash_of(workspace.folder / FIG / "model.safetensors") == expected


RESULTS = {
    "pretrain": f"{STANDARD}/model.safetensors",
    "finetune": f"{FIG}/model.safetensors",
    "evaluate": f"{FIG}/metrics.csv",
}
WORKER, RAYLET, SNAKEMAKE = "ray::RayTrainWorker", "raylet/raylet", "bin/snakemake"  # words of their command lines


@pytest.fixture(scope="module")
def undisturbed(finished: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The finished run with a fine-tuning that takes long enough to be hit four times."""
    workspace = copy_of_results(finished, tmp_path_factory.mktemp("undisturbed"))
    workspace.edit(
        "tests/tiny.yaml",
        "iterations: 10, batch_size: 64, log_every: 5",
        "iterations: 60, batch_size: 64, log_every: 2",
    )
    workspace.snakemake(RESULTS["evaluate"])
    return workspace


@pytest.fixture
def disturbed(undisturbed: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """Its copy, in which whatever still runs in the end is ended: a test that fails leaves no orphan."""
    workspace = copy_of_results(undisturbed, tmp_path)
    yield workspace
    for process in processes_of(workspace):
        process.kill()


@pytest.mark.timeout(1200)  # one to three minutes on two idle cores
@pytest.mark.parametrize("stage", RESULTS)
def test_whatever_is_killed_a_job_goes_on_from_its_last_checkpoint_to_the_same_results(
    stage: str, undisturbed: Workspace, disturbed: Workspace
):
    workspace = without(disturbed, RESULTS[stage])
    result, driver = workspace.folder / RESULTS[stage], f"-m fig.stages.{stage}"
    workspace.edit("tests/tiny.yaml", "{workers: 0}", "{workers: 1}")
    kept = [(time.time(), 0)]  # when something was killed, and how many rows of the history were saved by then

    def progress() -> int:
        """Rows that are saved, once there are more; scoring saves nothing, but has begun."""
        return (
            len(find_scorers(workspace))
            if stage == "evaluate"
            else max(0, count_saved_rows(workspace.folder) - kept[-1][1])
        )

    snakemake = started(workspace, RESULTS[stage], "--retries", "1")
    for words in (WORKER, driver, SNAKEMAKE, RAYLET):  # the last of the orphan that Snakemake leaves
        wait_for(progress, 400, f"progress of {stage} before {words} is killed")
        (victim,) = find_processes(workspace, words)
        job = [*ray_processes(workspace), *find_processes(workspace, driver)]
        victim.kill()
        _, alive = psutil.wait_procs(job if words in (driver, RAYLET) else [victim], 60)
        assert not alive, f"{alive} outlive {words}"
        kept.append((time.time(), count_saved_rows(workspace.folder)))
    assert snakemake.wait(60) is not None
    workspace.edit("tests/tiny.yaml", "{workers: 1}", "{workers: 0}")
    workspace.snakemake("--unlock")
    workspace.snakemake(RESULTS[stage])
    assert result.read_bytes() == (undisturbed.folder / RESULTS[stage]).read_bytes()
    if stage != "evaluate":
        times = [0.0, *pd.read_csv(result.with_name("history.csv"))["time"]]
        assert all(times[rows] < at for at, rows in kept), "it made again what a checkpoint held"
    wait_for(lambda: not list(processes_of(workspace)), 60, "end of all processes")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A disk of a hundred kilobytes: less than the weights take."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "fig", folder]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("a disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


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
