"""MLflow mirrors the local files: with a real server that is down, started, stopped and started again."""

import multiprocessing
import re
import socket
import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException

from fig.runtime import tracking
from fig.runtime.record import Origin, Record, Times
from fig.runtime.tracking import TrackingError, mirror, sync, try_to_mirror
from support.disks import Disk
from support.processes import free_port, run_server
from support.tracked import discriminator
from support.workspace import Workspace, copy_of_results

pytestmark = pytest.mark.pipeline

FIG = "results/tiny/discriminators/digits/resnet18/fig/0"


@contextmanager
def server(folder: Path, port: int) -> Iterator[str]:
    """A real `mlflow server` on this machine, with its SQLite file in `folder`."""
    command = [Path(sys.executable).with_name("mlflow"), "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", folder / "artifacts"]
    address = f"http://127.0.0.1:{port}"
    with run_server(command, f"{address}/health", folder, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"):
        yield address


def runs_of(uri: str, name: str = "tiny"):
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(name)
    return client.search_runs([experiment.experiment_id])


def models_of(uri: str, name: str = "tiny"):
    client = MlflowClient(uri)
    return client.search_logged_models([client.get_experiment_by_name(name).experiment_id])


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
    assert [point.step for point in client.get_metric_history(run.info.run_id, "generated_confidence")] == [
        *range(1, 11)
    ]
    artifacts = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"discriminator.json", "history.csv", "metrics.csv", "samples.png", "evaluation.record.json"} <= artifacts
    assert run.data.tags["fig.command"].startswith("python -m fig.stages.finetune --train data/32/digits/train.npy")
    models = {model.name: model for model in models_of(uri)}
    assert len(models) == 5
    linked = {metric.key: metric.dataset_name for metric in models["fig-0-digits-resnet18"].metrics}
    assert linked["auroc/baseline/photos-c"] == "photos-c" and linked["final/accuracy"] == "digits"
    contexts = {each.dataset.name: each.tags[0].value for each in run.inputs.dataset_inputs}
    assert contexts["photos-c"] == "ood"


def test_a_server_that_is_down_costs_a_warning_and_sync_catches_up_without_duplicates(
    finished: Workspace, tmp_path: Path
):
    workspace = copy_of_results(finished, tmp_path / "workspace")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    done = workspace.run(
        *("python", "-m", "fig.stages.evaluate", "--discriminator", FIG, "--test", "data/32/digits/test.npy"),
        *("--train", "data/32/digits/train.npy", "--ood", "data/32/photos-c/test.npy"),
        *("--detectors", '{"baseline": {}}', "--resources", '{"workers": 0}'),
        MLFLOW_TRACKING_URI=address,
    )
    assert done.stderr.count("WARNING") == 1 and "fig sync" in " ".join(done.stderr.split())
    failed = workspace.run("python", "-m", "fig", "sync", "results", check=False, MLFLOW_TRACKING_URI=address)
    assert failed.returncode == 1 and "could not be mirrored" in failed.stderr
    for _ in range(2):  # the second time after a restart: nothing is there twice
        with server(tmp_path, port):
            workspace.run("python", "-m", "fig", "sync", "results", MLFLOW_TRACKING_URI=address)
            runs = runs_of(address)
            assert len(runs) == 5
            (fig,) = [run for run in runs if run.info.run_name == "fig/0 of digits/resnet18"]
            history = MlflowClient(address).get_metric_history(fig.info.run_id, "loss")
            assert [point.step for point in history] == [*range(1, 11)]
            registered = workspace.run("python", "-m", "fig", "register", FIG, MLFLOW_TRACKING_URI=address)
            assert registered.stdout.strip() == "models:/fig-digits-resnet18-fig/1"
            models = {model.name: model for model in models_of(address)}
            linked = {metric.key: metric.dataset_name for metric in models["fig-0-digits-resnet18"].metrics}
            assert len(models) == 5 and linked["auroc/baseline/photos-c"] == "photos-c"


@pytest.fixture
def own_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow writes into the results folder's own SQLite file."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_server_that_accepts_and_never_answers_is_asked_twice_and_costs_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # seconds an attempt, instead of 10
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        try_to_mirror(discriminator(tmp_path, seed=0))
        silent.setblocking(False)
        attempts = [silent.accept() for _ in range(2)]
        with pytest.raises(BlockingIOError):
            silent.accept()
    assert len(attempts) == 2
    assert "MLflow was not updated" in caplog.text and "fig sync" in caplog.text


def test_a_job_does_not_wait_for_ever_for_others_that_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(tracking, "TURN", 1)
    with FileLock(tmp_path / "mlflow.db.lock", is_singleton=False):
        try_to_mirror(discriminator(tmp_path, seed=0))
    assert "MLflow was not updated (other jobs have kept" in caplog.text


@pytest.mark.usefixtures("own_file")
def test_a_discriminator_outside_a_run_is_not_mirrored_and_the_warning_says_where_it_belongs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    try_to_mirror(discriminator(tmp_path, seed=0).rename(tmp_path / "mine"))
    assert f"{tmp_path}/mine is not results/<run>/discriminators/" in caplog.text and "move it there" in caplog.text
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.usefixtures("own_file")
@pytest.mark.parametrize("fault", ["locked", "damaged"])
def test_a_sqlite_file_that_cannot_be_used_is_a_warning(tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture):
    folder = discriminator(tmp_path, seed=0)
    if fault == "damaged":
        (tmp_path / "mlflow.db").write_bytes(b"not SQLite" * 1000)
    other = sqlite3.connect(tmp_path / "mlflow.db")
    if fault == "locked":
        other.execute("BEGIN EXCLUSIVE")
    try_to_mirror(folder)
    other.close()
    assert "MLflow was not updated" in caplog.text
    if fault == "locked":
        assert sync(tmp_path) == (1, 0)


def test_of_sixteen_that_write_at_once_into_a_fresh_file_none_fails_and_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    address = f"sqlite:///{tmp_path}/shared.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    results = [tmp_path / name for name in "abcd"]
    folders = [discriminator(each, seed, run=each.name) for each in results for seed in range(4)]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow", "fig.runtime.tracking"])
    writers = [context.Process(target=try_to_mirror, args=(folder,)) for folder in folders]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 16
    assert [sync(each) for each in results] == [(4, 0)] * 4
    for each in results:
        runs = runs_of(address, each.name)
        assert sorted(run.data.params["seed"] for run in runs) == ["0", "1", "2", "3"]
        assert all(run.data.metrics == {"loss": 0.5, "auroc/baseline/photos-c": 0.9} for run in runs)


@pytest.mark.usefixtures("own_file")
def test_a_run_names_the_command_and_the_commit_of_its_training(tmp_path: Path):
    folder = discriminator(tmp_path, seed=0)
    record = Record(Origin("finetune", "code", {}, {}), "python -m fig.stages.finetune", {}, Times(), "0a1b2c")
    record.write(folder / "training.record.json")
    mirror(folder)
    (run,) = runs_of(f"sqlite:///{tmp_path}/mlflow.db")
    assert run.data.tags["fig.command"] == record.command
    assert run.data.tags["mlflow.source.git.commit"] == record.commit


class Failing:
    """A client whose server goes away at the call of this number."""

    def __init__(self, client: MlflowClient, calls: int) -> None:
        self.client, self.calls = client, calls

    def __getattr__(self, name: str):
        self.calls -= 1
        if self.calls < 0:
            raise MlflowException("the server went away")
        return getattr(self.client, name)


def failed(folder: Path) -> bool:
    try:
        mirror(folder)
    except TrackingError:
        return True
    return False


@pytest.mark.usefixtures("own_file")
def test_wherever_a_mirroring_breaks_off_the_next_one_completes_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    client_for, client = tracking.client_for, tracking.client_for(tmp_path)
    whole = client.get_run(mirror(discriminator(tmp_path, seed=0)))
    for calls in range(100):
        folder = discriminator(tmp_path, seed=1 + calls)
        monkeypatch.setattr(tracking, "client_for", lambda results, calls=calls: Failing(client, calls))
        broken = failed(folder)
        monkeypatch.setattr(tracking, "client_for", client_for)
        run = client.get_run(mirror(folder))
        assert run.data.params == whole.data.params | {"seed": str(1 + calls)} and run.info.status == "FINISHED"
        assert run.data.metrics == whole.data.metrics
        assert len(client.list_artifacts(run.info.run_id)) == len(client.list_artifacts(whole.info.run_id)) == 4
        (model,) = (client.get_logged_model(each.model_id) for each in run.outputs.model_outputs)
        assert model.status == LoggedModelStatus.READY and [each.value for each in model.metrics] == [0.9]
        assert {each.dataset.name for each in run.inputs.dataset_inputs} == {"digits", "photos-c"}
        if not broken:
            break
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert len(runs_of(uri)) == len(models_of(uri)) == 2 + calls >= 6


@pytest.mark.usefixtures("own_file")
def test_a_discriminator_s_model_is_found_by_its_key_and_its_metrics_by_the_images_that_gave_them(tmp_path: Path):
    folder = discriminator(tmp_path, seed=3)
    row = "tiny-3,accuracy,,,,0.8\ntiny-3,generated_confidence,,,,0.2"
    (folder / "metrics.csv").write_text((folder / "metrics.csv").read_text() + row + "\n")
    assert mirror(folder) == mirror(folder)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiments = [client.get_experiment_by_name("tiny").experiment_id]
    where = {"dataset_name": "photos-c", "dataset_digest": "p" * 16}
    (model,) = client.search_logged_models(experiments, "metrics.`auroc/baseline/photos-c` > 0.8", datasets=[where])
    assert model.tags["fig.key"] == "tiny-3" and model.params["method.K"] == "0.1"
    assert {each.key: (each.value, each.dataset_name, each.dataset_digest) for each in model.metrics} == {
        "auroc/baseline/photos-c": (0.9, "photos-c", "p" * 16),
        "final/accuracy": (0.8, "digits", "d" * 16),
        "final/generated_confidence": (0.2, None, None),
    }


@pytest.mark.usefixtures("own_file")
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Disk.full, r"the disk of \S*mlflow\.db is full: make room"),
        (Disk.read_only, r"cannot be written \(Read-only file system\): make .* writable"),
    ],
    ids=["full", "read-only"],
)
@pytest.mark.parametrize("file", ["new", "old"])
def test_a_disk_that_mlflow_cannot_write_is_a_warning_with_the_remedy_and_sync_catches_up(
    fault, said: str, file: str, disk: Disk, caplog: pytest.LogCaptureFixture
):
    folder = discriminator(disk.folder, seed=0)
    count = 2 if file == "old" else 1
    spawn = multiprocessing.get_context("spawn")  # a fork server keeps the environment of the test that started it
    if file == "old":
        first = spawn.Process(target=mirror, args=(discriminator(disk.folder, seed=1),))
        first.start()
        first.join()  # MLflow keeps the file open in its process
    with fault(disk):
        try_to_mirror(folder)
    assert re.search(f"MLflow was not updated (.*{said}.*)", " ".join(caplog.text.split())), caplog.text
    with ProcessPoolExecutor(1, spawn) as pool:
        assert pool.submit(sync, disk.folder).result() == (count, 0)
    assert len(runs_of(f"sqlite:///{disk.folder}/mlflow.db")) == count
    assert not list(disk.folder.glob(".partial-*"))
