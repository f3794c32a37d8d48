"""What becomes of a run when something goes wrong outside of it, done for real."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_pipeline import hashed, processes_of, waited_for
from workspace import Workspace, copy_of_project, copy_of_results

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
    page = (workspace.folder / "results/tiny/report.html").read_text()
    assert "missing: digits/resnet18/wild/0: finetune of digits/resnet18/wild/0 diverged" in page
    assert "fig-teacher-vgg19" in page and "AUROC" in page


def test_whoever_runs_the_same_study_in_the_same_folder_is_told_so_at_once(finished: Workspace, tmp_path: Path):
    workspace = copy_of_project(tmp_path)
    (tmp_path / "data").symlink_to(finished.folder / "data")
    first = started(workspace, f"{STANDARD}/model.safetensors")
    try:
        waited_for(lambda: list(tmp_path.glob(".snakemake/locks/*")), 60, "lock")
        began = time.monotonic()
        second = workspace.snakemake(check=False)
        assert second.returncode and "locked" in second.stdout + second.stderr
        assert time.monotonic() - began < 30
    finally:
        first.terminate()
        first.wait(120)


def test_after_snakemake_is_killed_its_orphan_and_the_next_run_give_the_same_weights(workspace: Workspace):
    expected = hashed(workspace.folder / FIG / "model.safetensors")
    without(workspace, f"{FIG}/model.safetensors")
    workspace.edit("tests/tiny.yaml", "iterations: 10,", "iterations: 10, precision: float32,")  # states the same
    running = started(workspace, f"{FIG}/model.safetensors")
    waited_for(lambda: [p for p in processes_of(workspace) if "fig.stages.finetune" in p.cmdline()], 120, "job")
    running.send_signal(signal.SIGKILL)
    running.wait()
    workspace.snakemake("--unlock")
    workspace.snakemake(f"{FIG}/model.safetensors")
    assert hashed(workspace.folder / FIG / "model.safetensors") == expected
    waited_for(lambda: not [p for p in processes_of(workspace) if "fig.stages" in " ".join(p.cmdline())], 60, "end")
    assert hashed(workspace.folder / FIG / "model.safetensors") == expected


def test_a_killed_evaluation_is_done_again_to_the_same_metrics(workspace: Workspace):
    metrics = workspace.folder / FIG / "metrics.csv"
    expected = metrics.read_text()
    without(workspace, f"{FIG}/metrics.csv")
    running = started(workspace, f"{FIG}/metrics.csv")
    (job,) = waited_for(
        lambda: [p for p in processes_of(workspace) if "fig.stages.evaluate" in p.cmdline()], 120, "job"
    )
    time.sleep(2)
    job.send_signal(signal.SIGKILL)
    assert running.wait(120) and not metrics.exists()
    workspace.snakemake(f"{FIG}/metrics.csv")
    assert metrics.read_text() == expected


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
    training = {"iterations": 3, "learning_rate": 0.001}
    settings = {"method": "gaussian", "settings": {}, "training": training, "augmentation": {"size": 32}}
    done = finished.run(
        *("python", "-m", "fig.stages.finetune", "--train", "data/32/digits/train.npy", "--standard", STANDARD),
        *("--output", mounted / "fig" / "0", "--checkpoints", mounted / "checkpoints", "--variant", "fig"),
        *("--settings", json.dumps(settings), "--resources", '{"workers": 0}'),
        check=False,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert ("Read-only file system" if read_only else "the disk of") in done.stderr
    assert not list(mounted.glob("**/model.safetensors"))
