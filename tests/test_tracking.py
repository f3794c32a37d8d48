"""MLflow mirrors the local files: with a real server that is down, started, stopped and started again."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient
from workspace import Workspace, copy_of_results

pytestmark = pytest.mark.pipeline

FIG = "results/tiny/discriminators/digits/resnet18/fig/0"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def server(folder: Path, port: int) -> Iterator[str]:
    """A real `mlflow server` on this machine, with its SQLite file in `folder`."""
    command = [Path(sys.executable).with_name("mlflow"), "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", folder / "artifacts"]
    process = subprocess.Popen(
        command,
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def runs_of(uri: str):
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("tiny")
    return client.search_runs([experiment.experiment_id])


def test_each_discriminator_is_one_run_with_settings_history_metrics_key_and_pictures(finished: Workspace):
    uri = f"sqlite:///{finished.folder}/results/mlflow.db"
    runs = {run.info.run_name: run for run in runs_of(uri)}
    assert set(runs) == {
        "standard/0 of digits/resnet18",
        "fig/0 of digits/resnet18",
        "fig-teacher-vgg19/0 of digits/resnet18",
        "deconf/0 of digits/resnet18",
        "standard/0 of digits/vgg19",
    }
    run = runs["fig/0 of digits/resnet18"]
    assert run.data.params["method.K"] == "0.1" and run.data.params["seed"] == "0"
    assert len(run.data.tags["fig.key"]) == 16
    assert 0 < run.data.metrics["auroc/baseline/photos-c"] <= 1
    client = MlflowClient(uri)
    assert [point.step for point in client.get_metric_history(run.info.run_id, "generated_confidence")] == [5, 10]
    artifacts = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"discriminator.json", "history.csv", "metrics.csv", "samples.png"} <= artifacts


def test_a_server_that_is_down_costs_a_warning_and_sync_catches_up_without_duplicates(
    finished: Workspace, tmp_path: Path
):
    workspace = copy_of_results(finished, tmp_path / "workspace")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    began = time.monotonic()
    done = workspace.run(
        *("python", "-m", "fig.stages.evaluate", "--discriminator", FIG, "--test", "data/32/digits/test.npy"),
        *("--train", "data/32/digits/train.npy", "--ood", "data/32/photos-c/test.npy"),
        *("--detectors", '{"baseline": {}}', "--resources", '{"workers": 0}'),
        MLFLOW_TRACKING_URI=address,
    )
    assert done.stderr.count("WARNING") == 1 and "fig sync" in " ".join(done.stderr.split())
    assert time.monotonic() - began < 90
    failed = workspace.run("python", "-m", "fig", "sync", "results", check=False, MLFLOW_TRACKING_URI=address)
    assert failed.returncode == 1 and "could not be mirrored" in failed.stderr
    for _ in range(2):  # the second time after a restart: nothing is there twice
        with server(tmp_path, port):
            workspace.run("python", "-m", "fig", "sync", "results", MLFLOW_TRACKING_URI=address)
            runs = runs_of(address)
            assert len(runs) == 5
            (fig,) = [run for run in runs if run.info.run_name == "fig/0 of digits/resnet18"]
            history = MlflowClient(address).get_metric_history(fig.info.run_id, "loss")
            assert [point.step for point in history] == [5, 10]
