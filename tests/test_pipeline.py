"""Faults in a running pipeline, done for real: kills, divergence, several workers."""

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from safetensors import safe_open
from safetensors.torch import load_file
from workspace import Workspace, copy_of_project, copy_of_results

from fig.runtime.cluster import Resources, run_on_workers

pytestmark = pytest.mark.pipeline

STANDARD = "results/tiny/discriminators/digits/resnet18/standard/0"


VICTIMS = {"driver": "fig.stages.pretrain", "worker": "ray::RayTrainWorker"}  # a word of their command lines


def processes_of(workspace: Workspace) -> Iterator[psutil.Process]:
    """The Python processes that run this workspace's code, Ray's included."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("PYTHONPATH") == str(workspace.folder) and process.name() not in ("bash", "sh"):
                yield process


def with_ray(workspace: Workspace) -> Workspace:
    workspace.edit("tests/tiny.yaml", "training: {workers: 0}", "training: {workers: 1}")
    return workspace


def waited_for(condition, seconds: float, what: str):
    for _ in range(int(seconds * 10)):
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"no {what} within {seconds} s")


def has_saved_a_row(folder: Path) -> bool:
    """Whether a checkpoint below the folder holds a row of the history: a job that goes on does not write it again."""
    for path in folder.glob("results/tiny/checkpoints/*/state.safetensors"):
        with suppress(FileNotFoundError), safe_open(path, framework="pt") as file:
            if json.loads(file.metadata()["progress"])[1]:
                return True
    return False


def hashed(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ray_processes(workspace: Workspace) -> list[str]:
    """The Ray clusters that this workspace's jobs have started; other work on the machine may have its own."""
    found = []
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error):
            if process.info["name"] in ("raylet", "gcs_server"):
                found += [process.info["name"]] * (process.environ().get("PYTHONPATH") == str(workspace.folder))
    return found


@pytest.mark.parametrize("victim", ["driver", "worker"])
def test_a_killed_pretraining_goes_on_from_its_checkpoint_to_the_same_weights(
    finished: Workspace, tmp_path: Path, victim: str
):
    workspace = with_ray(copy_of_project(tmp_path))
    (tmp_path / "data").symlink_to(finished.folder / "data")
    command = ["snakemake", f"{STANDARD}/model.safetensors", "--profile", "local", "--configfile", "tests/tiny.yaml"]
    running = subprocess.Popen(
        command, cwd=tmp_path, env=workspace.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    waited_for(lambda: has_saved_a_row(tmp_path), 120, "checkpoint")
    (killed,) = [p for p in processes_of(workspace) if VICTIMS[victim] in p.cmdline()]
    killed.send_signal(signal.SIGKILL)
    at = time.time()
    code = running.wait(timeout=240)
    if victim == "driver":
        assert code != 0
        workspace.run(*command)
    assert hashed(tmp_path / STANDARD / "model.safetensors") == hashed(finished.folder / STANDARD / "model.safetensors")
    first = (tmp_path / STANDARD / "history.csv").read_text().splitlines()[1]
    assert float(first.split(",")[1]) < at, "the first iterations were done again: it did not go on from a checkpoint"
    waited_for(lambda: not ray_processes(workspace), 30, "end of Ray")


def test_a_diverging_fine_tuning_fails_in_one_sentence_and_writes_no_model(finished: Workspace, tmp_path: Path):
    training = {"iterations": 20, "learning_rate": 1e6, "log_every": 1}
    settings = {"method": "fig", "settings": {}, "training": training, "augmentation": {"size": 32}}
    done = finished.run(
        *("python", "-m", "fig.stages.finetune", "--train", "data/32/digits/train.npy", "--standard", STANDARD),
        *("--output", tmp_path / "fig" / "0", "--checkpoints", tmp_path / "checkpoints", "--variant", "fig"),
        *("--settings", json.dumps(settings), "--resources", '{"workers": 0}'),
        check=False,
    )
    assert done.returncode == 1
    assert "error: finetune of" in done.stderr and "diverged" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.glob("**/model.safetensors"))
    assert list(tmp_path.glob("checkpoints/*/history.csv"))


def test_two_jobs_side_by_side_end_and_leave_no_ray_behind(finished: Workspace, tmp_path: Path):
    common = ("--train", "data/32/digits/train.npy", "--network", "resnet18", "--architecture", '{"width": 0.0625}')
    training = ("--training", '{"epochs": 1, "learning_rate": 0.1}', "--augmentation", '{"size": 32}')
    training += ("--checkpoints", str(tmp_path / "checkpoints"))
    jobs = [
        subprocess.Popen(
            ["python", "-m", "fig.stages.pretrain", *common, *training, "--seed", seed, "--output", tmp_path / seed],
            cwd=finished.folder,
            env=finished.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    errors = [job.communicate(timeout=300)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], errors
    weights = [load_file(tmp_path / seed / "model.safetensors")["fc.weight"] for seed in ("1", "2")]
    assert not weights[0].equal(weights[1])
    waited_for(lambda: not ray_processes(finished), 30, "end of Ray")


def rank_sums(values: list[float]) -> list[float]:
    import torch

    from fig import parallel

    tensor = torch.tensor(values) * (parallel.rank() + 1)
    parallel.sum_over_workers([tensor])
    rows = parallel.gathered(torch.arange(parallel.rank(), 5, parallel.workers()), 5)
    return [*tensor.tolist(), *rows.tolist()]


def test_two_workers_sum_their_gradients_and_gather_their_rows_in_order(monkeypatch: pytest.MonkeyPatch):
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", here)
    value, _ = run_on_workers(rank_sums, [1.0, 10.0], Resources(workers=2))
    assert value == [3.0, 30.0, 0, 1, 2, 3, 4]


def test_scores_do_not_depend_on_the_number_of_workers(finished: Workspace, tmp_path: Path):
    workspace = copy_of_results(finished, tmp_path / "workspace")
    folder = workspace.folder / STANDARD
    alone = {path.stem: dict(np.load(path)) for path in folder.glob("scores/*.npz")}
    study = yaml.safe_load((workspace.folder / "tests/tiny.yaml").read_text())
    detectors = {name: study["detectors"][name] for name in study["studies"][0]["detectors"]}
    workspace.run(
        *("python", "-m", "fig.stages.evaluate", "--discriminator", STANDARD, "--train", "data/32/digits/train.npy"),
        *("--test", "data/32/digits/test.npy", "--ood", "data/32/photos-c/test.npy"),
        *("--detectors", json.dumps(detectors), "--resources", '{"workers": 2}'),
    )
    assert set(alone) == set(detectors)
    for name in detectors:
        shared = dict(np.load(folder / "scores" / f"{name}.npz"))
        for key, scores in shared.items():
            np.testing.assert_allclose(scores, alone[name][key], rtol=2e-3, atol=2e-3 * np.abs(scores).max())


def broken(settings: None) -> None:
    raise ValueError("the reason")


def test_the_functions_own_error_comes_back_at_once():
    with pytest.raises(ValueError, match="the reason"):
        run_on_workers(broken, None, Resources(workers=0))
