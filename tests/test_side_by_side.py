"""What works at once on the same files: one waits for the other, takes its result, or is refused by its name."""

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from numpy.lib import format as npy

from fig.runtime import tracking
from fig.runtime.locks import HeldError, find_holder, hold_lock, lock_beside
from fig.runtime.record import read_record
from support.tracked import discriminator
from support.workspace import ROOT, Workspace, linked_project

pytestmark = pytest.mark.pipeline

HOLDER = """
import sys
from pathlib import Path
from fig.runtime.locks import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def start_holder(lock: Path, user: str) -> subprocess.Popen[str]:
    """Another user's process that holds a lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, lock],
        env=os.environ | {"LOGNAME": user},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


def test_a_lock_names_user_machine_and_process_and_that_of_a_dead_process_blocks_nobody(tmp_path: Path):
    lock = tmp_path / "results" / ".lock"
    assert find_holder(lock) == "" and not lock.parent.exists()
    other = start_holder(lock, "anna")
    expected = f"anna on {os.uname().nodename}, process {other.pid}"
    with pytest.raises(HeldError) as refused, hold_lock(lock):
        pass
    assert str(refused.value) == find_holder(lock) == expected
    other.kill()
    other.wait()
    assert lock.read_text() == f"{expected}\n" and find_holder(lock) == ""
    with hold_lock(lock):
        assert str(os.getpid()) in lock.read_text()


def test_what_a_stranger_wrote_into_a_lock_cannot_command_a_terminal(tmp_path: Path):
    other = start_holder(tmp_path / ".lock", "anna")
    (tmp_path / ".lock").write_text("\x1b[2Jme\n\x07" + "x" * 10_000)
    assert find_holder(tmp_path / ".lock").startswith("[2Jmexxx") and len(find_holder(tmp_path / ".lock")) < 200
    other.kill()
    other.wait()


def test_a_run_s_folder_is_refused_to_a_second_working_directory_with_the_name_of_who_works_there(tmp_path: Path):
    results = tmp_path / "results"
    other = start_holder(results / "tiny" / ".lock", "anna")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "results").symlink_to(results)
    with linked_project(mine):
        command = ["snakemake", "--cores", "1", "--configfile", str(ROOT / "tests" / "tiny.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = " ".join((done.stdout + done.stderr).split())
    other.communicate()
    assert done.returncode == 1 and "Traceback" not in said
    who = f"results/tiny is locked: anna on {os.uname().nodename}, process {other.pid} works there"
    assert f"{who}: wait for its end, or give this study a `run` of its own" in said
    assert {path.name for path in results.rglob("*")} == {"tiny", ".lock"} and not (mine / "data").exists()


def prepare(folder: Path, name: str = "digits") -> subprocess.Popen[str]:
    """A process that prepares a packaged data set in `folder`."""
    recipe = ["--recipe.reader", "digits", "--recipe.split", "train", "--recipe.size", "32", "--recipe.way", "bilinear"]
    return subprocess.Popen(
        [sys.executable, "-m", "fig.stages.prepare", "--output", f"data/32/{name}/train.npy", *recipe],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "400"},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_of_two_studies_that_prepare_shared_data_at_once_one_waits_and_takes_the_other_s(tmp_path: Path):
    studies = [tmp_path / "a", tmp_path / "b"]
    (tmp_path / "data").mkdir()
    for study in studies:
        study.mkdir()
        (study / "data").symlink_to(tmp_path / "data")
    record = tmp_path / "data/32/digits/train.record.json"
    first = start_holder(lock_beside(record), "anna")  # both come while a third holds the lock: neither is before it
    jobs = [prepare(study) for study in studies]
    waiting = [job.stderr.readline() for job in jobs if job.stderr]
    assert all(f"anna on {os.uname().nodename}, process {first.pid}: waiting for it" in line for line in waiting)
    assert not record.exists()
    first.communicate()
    printed = [job.communicate()[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], printed
    assert sum("image" in each for each in printed) == 1  # one progress bar: the other took what was made
    with (tmp_path / "data/32/digits/train.npy").open("rb") as file:
        npy.read_array(file)
    made = read_record(record)
    assert made and json.loads(record.with_name("train.json").read_text())["sha256"]
    assert not list((tmp_path / "data").rglob(".partial*"))


def runs_of(results: Path):
    client = MlflowClient(f"sqlite:///{results}/mlflow.db")
    return client, client.search_runs([client.get_experiment_by_name("tiny").experiment_id])


def test_twenty_jobs_and_their_retries_at_once_lose_no_row_and_write_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folders = [discriminator(tmp_path, seed) for seed in range(20)]
    tracking.client_for(tmp_path)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow", "fig.runtime.tracking"])
    writers = [context.Process(target=tracking.try_to_mirror, args=(folder,)) for folder in folders]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 20
    assert tracking.sync(tmp_path) == (20, 0)  # each again, as a retried job does
    client, runs = runs_of(tmp_path)
    assert sorted(int(run.data.params["seed"]) for run in runs) == list(range(20))
    for run in runs:
        assert run.info.status == "FINISHED" and run.data.metrics == {"loss": 0.5, "auroc/baseline/photos-c": 0.9}
        assert [point.step for point in client.get_metric_history(run.info.run_id, "loss")] == [5, 10]
        assert len(run.outputs.model_outputs) == 1


def test_two_syncs_at_once_write_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for seed in range(4):
        discriminator(tmp_path, seed)
    command = [sys.executable, "-m", "fig", "sync", str(tmp_path)]
    syncs = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [each.communicate()[0] for each in syncs] == ["4 discriminators are in MLflow.\n"] * 2
    client, runs = runs_of(tmp_path)
    assert sorted(run.data.params["seed"] for run in runs) == ["0", "1", "2", "3"]
    for run in runs:
        assert [point.step for point in client.get_metric_history(run.info.run_id, "loss")] == [5, 10]


def test_of_two_reports_at_once_one_waits_and_both_are_whole(workspace: Workspace):
    run = workspace.folder / "results/tiny"
    lock = lock_beside(run / "report.record.json")
    first = start_holder(lock, "anna")  # both come while a third holds the lock: neither is before it
    reports = [
        subprocess.Popen(
            [sys.executable, "-m", "fig", "report", "tests/tiny.yaml"],
            cwd=workspace.folder,
            env=workspace.environment | {"COLUMNS": "400"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert all("waiting for it" in each.stderr.readline() for each in reports if each.stderr)
    first.communicate()
    done = [each.communicate() for each in reports]
    assert [each.returncode for each in reports] == [0, 0], done
    assert (run / "partial.html").read_text().rstrip().endswith("</html>") and not list(run.rglob(".partial-*"))
