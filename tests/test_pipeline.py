"""Stages run for real: divergence, jobs side by side, several workers."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file

from fig.runtime.cluster import run_on_workers
from fig.runtime.record import Times
from fig.settings import Resources
from support.processes import ray_processes, wait_for
from support.workspace import Workspace, copy_of_results

pytestmark = pytest.mark.pipeline

STANDARD = "results/tiny/discriminators/digits/resnet18/standard/0"


def test_a_diverging_fine_tuning_fails_in_one_sentence_and_writes_no_model(finished: Workspace, tmp_path: Path):
    done = finished.run(
        *("python", "-m", "fig.stages.finetune", "--train", "data/32/digits/train.npy", "--standard", STANDARD),
        *("--output", tmp_path / "fig" / "0", "--checkpoints", tmp_path / "checkpoints", "--variant", "fig"),
        *("--method", "fig", "--training.iterations", "20", "--training.learning-rate", "1e6"),
        *("--training.log-every", "1", "--augmentation.size", "32", "--resources.workers", "0"),
        check=False,
    )
    assert done.returncode == 1
    assert "error: finetune of" in done.stderr and "diverged" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.glob("**/model.safetensors"))
    assert list(tmp_path.glob("checkpoints/*/history.csv"))


@pytest.mark.long
def test_two_jobs_side_by_side_end_and_leave_no_ray_behind(finished: Workspace, tmp_path: Path):
    common = ("--train", "data/32/digits/train.npy", "--network", "resnet18", "--architecture", '{"width": 0.0625}')
    training = ("--training.epochs", "1", "--augmentation.size", "32")
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
    errors = [job.communicate()[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], errors
    weights = [load_file(tmp_path / seed / "model.safetensors")["fc.weight"] for seed in ("1", "2")]
    assert not weights[0].equal(weights[1])
    wait_for(lambda: not ray_processes(finished), "end of Ray")


@pytest.mark.long
def test_scores_do_not_depend_on_the_number_of_workers(finished: Workspace, tmp_path: Path):
    workspace = copy_of_results(finished, tmp_path / "workspace")
    folder = workspace.folder / STANDARD
    alone = {path.stem: dict(np.load(path)) for path in folder.glob("scores/*.npz")}
    study = yaml.safe_load((workspace.folder / "tests/tiny.yaml").read_text())
    detectors = {name: study["detectors"][name] for name in study["studies"][0]["detectors"]}
    workspace.run(
        *("python", "-m", "fig.stages.evaluate", "--discriminator", STANDARD, "--train", "data/32/digits/train.npy"),
        *("--test", "data/32/digits/test.npy", "--ood", "data/32/photos-c/test.npy"),
        *("--detectors", json.dumps(detectors), "--resources.workers", "2"),
        *("--settings.images", str(study["evaluation"]["images"])),
        *("--settings.training-images", str(study["evaluation"]["training_images"])),
    )
    assert set(alone) == set(detectors)
    for name in detectors:
        shared = dict(np.load(folder / "scores" / f"{name}.npz"))
        for key, scores in shared.items():
            np.testing.assert_allclose(scores, alone[name][key], rtol=2e-3, atol=2e-3 * np.abs(scores).max())


def niceness(settings: None) -> int:
    return os.nice(0)


@pytest.mark.long
def test_workers_are_as_nice_to_other_work_as_their_job(monkeypatch: pytest.MonkeyPatch):
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", here)
    assert run_on_workers(niceness, None, Resources(workers=1), Times()) == os.nice(0)


def broken(settings: None) -> None:
    raise ValueError("the reason")


def test_the_functions_own_error_comes_back_at_once():
    with pytest.raises(ValueError, match="the reason"):
        run_on_workers(broken, None, Resources(workers=0), Times())
