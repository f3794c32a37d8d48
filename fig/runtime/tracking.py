"""The only door to MLflow: mirror a discriminator's folder as a run and its model, and find them again by its key.

On request, the model also gets the weights and is registered. Local files are the truth. Mirroring twice changes
nothing, so FIG can later mirror a run that a server missed.
"""

import json
import logging
import os
import re
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from errno import EROFS
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from fig.files import explain_failure, partial_folder, put_in_place
from fig.runtime.folders import (
    RECORDS,
    Contents,
    DataSet,
    Point,
    names_of,
    parameters_of,
    read_folder,
    run_of,
)
from fig.runtime.locks import HeldError, hold_lock
from fig.runtime.provenance import file_hash, provenance_key
from fig.runtime.tracking_store import TrackingError, default_uri, describe_failure, find_fault, sqlite_file, uri_of
from fig.settings import Json

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Metric, Run
    from mlflow.exceptions import MlflowException

KEY = "fig.key"
COMMAND = "fig.command"
COMMIT = "mlflow.source.git.commit"  # MLflow's own, which its UI shows
FILES = "fig.files"  # hash of a model's files, if it has its weights
ARTIFACTS = ("discriminator.json", "history.csv", "metrics.csv", "samples.png", *RECORDS)
OF_A_MODEL = ("discriminator.json", "model.safetensors", "scores/baseline.npz")  # the files that GATE reads
GATE = "fig.serving:load_gate"  # by name, because this layer does not know how images are judged
BATCH = 1000  # metrics in one request, MLflow's limit
DIGEST = 16  # characters of a data set's hash that MLflow shows
PATIENCE = {  # a server that never answers costs a job 20 s to 25 s: MLflow's defaults would wait minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
ENOUGH = 3  # failures of MLflow in a row after which a sync gives up
TURN = 60  # seconds that a job waits for other writers before it leaves its run to a sync

log = logging.getLogger("fig")


@contextmanager
def one_at_a_time(results: Path) -> Iterator[None]:
    """Hold the lock of the SQLite file in use, or of the results folder. Two writers of a run would create it twice.

    Raises TrackingError if others hold it for longer than TURN, or if it cannot be written.
    """
    lock = Path(f"{sqlite_file(uri_of(results)) or results / 'mlflow'}.lock")
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(lock, TURN))
        except HeldError as error:
            raise TrackingError(f"other jobs have kept {lock} for {TURN} s, now {error}") from error
        except OSError as error:
            of_folder = explain_failure(error, lock) if error.errno == EROFS or not lock.exists() else None
            of_lock = f"{lock} cannot be locked ({error.strerror}): make it a file that you may write"
            raise TrackingError(of_folder or of_lock) from error
        yield


def client_for(results: Path) -> "MlflowClient":
    """Return a client of the server or file in use."""
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # it would mix with a command's output
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it logs every step of creating a SQLite file
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # our one warning reports the result of its retries
    logging.getLogger("mlflow.store.db").setLevel(logging.CRITICAL)  # and the fault of a SQLite file
    from mlflow import MlflowClient

    uri = uri_of(results)
    if file := sqlite_file(uri):
        if not file.exists():  # complete or not at all: MLflow cannot continue from some of the tables
            with partial_folder(file.parent) as folder:
                MlflowClient(f"sqlite:///{folder / file.name}")
                put_in_place(folder / file.name, file)
        elif fault := find_fault(file):
            raise TrackingError(fault)
    return MlflowClient(uri)


def mirror(folder: Path) -> str:
    """Update MLflow from the discriminator in `results/<run>/discriminators/...`, and return the MLflow run's id.

    Raises TrackingError if the server does not answer or the file cannot be written, and ValueError or OSError, which
    name the file, if the folder cannot be read.
    """
    contents, run_folder = read_folder(folder), run_of(folder)
    with connect_to_mlflow(run_folder.parent) as client:
        return mirror_folder(client, contents, experiment_id(client, run_folder)).run_id


def register(folder: Path) -> str:
    """Mirror the discriminator in `results/<run>/discriminators/...`, register its model, and return its address.

    Raises the errors of `mirror`, and ValueError if the baseline has not scored these weights or if a file that the
    model serves is damaged.
    """
    contents, run_folder = read_folder(folder), run_of(folder)
    if not (folder / OF_A_MODEL[-1]).exists() or not contents.evaluation:
        raise ValueError(f"{folder} has no scores of its present weights: evaluate it, with the detector `baseline`")
    _load_pyfunc(str(folder))  # register only models that load; this runs the factory that the folder names
    files = provenance_key({file: file_hash(folder / file) for file in OF_A_MODEL} | {"loader": __name__})
    with connect_to_mlflow(run_folder.parent) as client:
        found = mirror_folder(client, contents, experiment_id(client, run_folder), files)
        return register_version(client, contents, found, files)


@contextmanager
def connect_to_mlflow(results: Path) -> Iterator["MlflowClient"]:
    """Give a client that is the only one at work in this results folder. Raises TrackingError if it fails."""
    import_module("mlflow")  # a missing library is not the server's fault
    with one_at_a_time(results):
        try:
            yield client_for(results)
        except TrackingError:
            raise
        except Exception as error:  # MLflow passes on every error that a driver or a server's answer causes
            raise TrackingError(describe_failure(error, results)) from error


def try_to_mirror(folder: Path) -> float:
    """Mirror a folder, or warn in one line if that fails, and return the seconds that it took.

    A server that accepts and never answers takes 25 s, and up to TURN more while other jobs write.
    """
    began = time.monotonic()
    try:
        mirror(folder)
    except (TrackingError, ValueError, OSError) as error:
        log.warning("MLflow was not updated (%s); `fig sync` will catch it up", error)
    return time.monotonic() - began


def experiment_id(client: "MlflowClient", run_folder: Path) -> str:
    """Find or create the MLflow experiment of the folder `results/<run>`, and return its id.

    A server decides where artifacts go. With a SQLite file, they go next to the run, not into the working directory.
    """
    uri, experiment = uri_of(run_folder.parent), client.get_experiment_by_name(run_folder.name)
    own_artifacts = (run_folder.parent / "mlflow-artifacts" / run_folder.name).resolve()
    if experiment is not None:
        if experiment.lifecycle_stage == "deleted":
            restore = f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
            raise TrackingError(f"the experiment {run_folder.name} was deleted: {restore}")
        place = Path(unquote(experiment.artifact_location.removeprefix("file://")))
        if uri == default_uri(run_folder.parent) and place.resolve() != own_artifacts:
            raise TrackingError(f"{sqlite_file(uri)} was moved, its artifacts belong into {place}: move the file away")
        return experiment.experiment_id
    artifacts = own_artifacts.as_uri() if sqlite_file(uri) else None
    kind = {"mlflow.experimentKind": "custom_model_development"}  # makes the UI show trainings, not prompts
    return client.create_experiment(run_folder.name, artifact_location=artifacts, tags=kind)


@dataclass(frozen=True)
class Mirrored:
    """A discriminator's run and model in MLflow."""

    run_id: str
    model: "LoggedModel"


def mirror_folder(client: "MlflowClient", contents: Contents, experiment: str, files: str = "") -> Mirrored:
    """Write a folder's parameters, history, metrics, data sets and artifacts into its MLflow run and model."""
    from mlflow.entities import LoggedModelStatus, Param

    card = contents.card
    found = client.search_runs([experiment], f"tags.`{KEY}` = '{card['key']}'", max_results=1)
    run = found[0] if found else create_run(client, card, experiment, contents.started)
    run_id = run.info.run_id
    model = model_of(client, card, run, files)
    if not run.data.params:  # a new run, or one whose mirroring stopped here
        client.log_batch(run_id, params=[Param(name, value) for name, value in contents.parameters.items()])
    link(client, run, model, contents.data)
    metrics = [metric_of(point) for point in contents.history]
    written = {(metric.key, metric.timestamp) for metric in model.metrics or ()}  # do not write a model's metric twice
    judged = (point for point in contents.evaluation if (point.name, point.time) not in written)
    metrics += [metric_of(point, model.model_id) for point in judged]
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    for tag, value in {COMMAND: contents.command, COMMIT: contents.commit}.items():
        if value:
            client.set_tag(run_id, tag, value)
    for path in (contents.folder / name for name in ARTIFACTS):
        if path.exists():
            client.log_artifact(run_id, str(path))
    client.set_terminated(run_id, "FINISHED", end_time=contents.ended)
    if model.status != LoggedModelStatus.READY:
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return Mirrored(str(run_id), model)


def model_of(client: "MlflowClient", card: dict[str, Json], run: "Run", files: str) -> "LoggedModel":
    """Find or create the model of a discriminator's run.

    With the hash of its `files`, accept only a model that has these files or none yet: after another evaluation, the
    discriminator gets another model.
    """
    experiment, key = run.info.experiment_id, f"tags.`{KEY}` = '{card['key']}'"
    latest = [{"field_name": "creation_timestamp", "ascending": False}]
    for model in client.search_logged_models([experiment], key, max_results=1, order_by=latest):
        if not files or model.tags.get(FILES, files) == files:
            return model
    names = names_of(card) | {"seed": str(card["seed"])}
    tags = {KEY: card["key"]} | {f"fig.{name}": value for name, value in names.items()}
    name = "-".join((card["variant"], names["seed"], card["id_dataset"], names["network"]))
    return client.create_logged_model(
        experiment, re.sub(r"[/:.%\"']", "-", name), run.info.run_id, tags, parameters_of(card), "discriminator"
    )


def link(client: "MlflowClient", run: "Run", model: "LoggedModel", data: Iterable[DataSet]) -> None:
    """Record a run's model and data sets in MLflow. Existing entries do not change."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput

    if model.model_id not in {each.model_id for each in (run.outputs.model_outputs if run.outputs else ())}:
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
    inputs = [
        DatasetInput(
            Dataset(each.name, each.digest[:DIGEST], "local", json.dumps({"uri": each.path})),
            [InputTag("mlflow.data.context", each.context)],
        )
        for each in data
    ]
    if inputs:
        client.log_inputs(run.info.run_id, inputs)


def metric_of(point: Point, model_id: str | None = None) -> "Metric":
    """Return a point as MLflow's metric, linked to a model and to the data set that it was measured on."""
    from mlflow.entities import Metric

    name, digest = (point.data.name, point.data.digest[:DIGEST]) if point.data else (None, None)
    return Metric(point.name, point.value, point.time, point.step, model_id, name, digest)


def create_run(client: "MlflowClient", card: dict[str, Json], experiment: str, started: int) -> "Run":
    """Create a run with a discriminator's name and tags, `started` in milliseconds of the epoch."""
    architecture = card["architecture"]
    # The UI cuts off the end of a name, so variant and seed come first.
    name = f"{card['variant']}/{card['seed']} of {card['id_dataset']}/{architecture['network']}"
    tags = {KEY: card["key"], "mlflow.runName": name} | {f"fig.{key}": value for key, value in names_of(card).items()}
    return client.create_run(experiment, start_time=started, tags=tags)


def register_version(client: "MlflowClient", contents: Contents, found: Mirrored, files: str) -> str:
    """Register a version of the model of the folder's ID data set, network and variant, or find it by its files' hash.

    Seeds are versions of one model. Return the version's address, models:/<name>/<version>.
    """
    card, model = contents.card, found.model
    architecture = card["architecture"]
    name = f"fig-{card['id_dataset']}-{architecture['network']}-{card['variant']}"
    if model.tags.get(FILES) != files:
        with TemporaryDirectory() as scratch:
            write_model(Path(scratch) / "model", contents.folder, model)
            client.log_model_artifacts(model.model_id, str(Path(scratch) / "model"))
        client.set_logged_model_tags(model.model_id, {FILES: files})
    source = model.artifact_location
    versions = [each for each in client.search_model_versions(f"name = '{name}'") if each.source == source]
    if not versions:
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        tags, own = {KEY: card["key"], "fig.seed": str(card["seed"])}, model.model_id
        versions = [client.create_model_version(name, source, found.run_id, tags, await_creation_for=0, model_id=own)]
    shown = [{"name": name, "version": int(versions[0].version)}]
    client.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": json.dumps(shown)})  # for the UI
    return f"models:/{name}/{versions[0].version}"


def write_model(path: Path, folder: Path, model: "LoggedModel") -> None:
    """Write the discriminator in `folder` as a folder that MLflow loads and serves.

    It has no signature of its input, because a signature could name either arrays or columns. The gate checks images.
    """
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    answers = {"confidence": ("float64", (-1,)), "probabilities": ("float64", (-1, -1)), "score": ("float64", (-1,))}
    answers |= {"accepted": ("bool", (-1,))}
    outputs = Schema([TensorSpec(np.dtype(kind), shape, name) for name, (kind, shape) in answers.items()])
    params = ParamSchema([ParamSpec("id_acceptance", DataType.double, 0.95)])
    with TemporaryDirectory() as scratch:
        data = Path(scratch) / "discriminator"
        for file in OF_A_MODEL:
            (data / file).parent.mkdir(parents=True, exist_ok=True)
            (data / file).symlink_to((folder / file).resolve())
        warnings.filterwarnings("ignore", "(?s).*input example was not provided")  # docs/mlflow.md has examples
        save_model(
            path,
            loader_module=__name__,
            data_path=str(data),
            mlflow_model=Model(model_id=model.model_id, run_id=model.source_run_id),
            signature=ModelSignature(outputs=outputs, params=params),
            pip_requirements=[f"{package}=={version(package)}" for package in ("fig-ood", "mlflow", "torch")],
        )


class Gate(Protocol):
    """A classifier that judges images, as fig.serving defines it."""

    def predict(self, images: Iterable[object], params: Mapping[str, Json] | None = None) -> Mapping[str, object]:
        """Return the answers for images, pixels or encoded. Raises ValueError, in one sentence, for invalid images."""


@dataclass(frozen=True)
class Served:
    """A gate behind MLflow's server. A request that the gate refuses gets status 400 and the gate's sentence."""

    gate: Gate

    def predict(self, data: Json, params: Mapping[str, Json] | None = None) -> Mapping[str, object]:
        """Return the gate's answer. `data`, as MLflow parsed it, is an array or holds images in a column `image`."""
        try:
            named = hasattr(data, "columns") or isinstance(data, dict)
            if named and "image" not in data:
                raise ValueError(f"there is no column image, but {', '.join(map(str, data)) or 'none'}")
            return self.gate.predict(list(data["image"]) if named else data, params)
        except ValueError as error:
            raise refusal(str(error)) from error


def refusal(sentence: str) -> "MlflowException":
    """Return an error that makes MLflow's server answer with status 400 and a sentence, without the request's data."""
    from mlflow.exceptions import MlflowException

    class RefusedError(MlflowException):
        def serialize_as_json(self) -> str:
            return json.dumps({"error_code": self.error_code, "message": sentence})  # MLflow adds text before it

    refused: MlflowException = RefusedError.invalid_parameter_value(sentence)
    return refused


def _load_pyfunc(path: str) -> Served:
    """Load the data of `write_model` for MLflow, which finds this function by its name."""
    module, _, name = GATE.partition(":")
    return Served(getattr(import_module(module), name)(Path(path)))


def sync(results: Path) -> tuple[int, int]:
    """Mirror every discriminator below `results`. Return how many there are, and how many could not be mirrored.

    A warning names each of the latter. Raises TrackingError after ENOUGH failures of MLflow in a row.
    """
    from tqdm import tqdm

    folders = sorted(path.parent for path in results.glob("*/discriminators/*/*/*/*/discriminator.json"))
    missed = failures = 0
    for folder in tqdm(folders, desc="MLflow", unit="run", disable=not folders):
        try:
            mirror(folder)
            failures = 0
        except TrackingError as error:
            failures += 1
            if failures == ENOUGH:
                raise TrackingError(f"{ENOUGH} discriminators in a row could not be mirrored: {error}") from error
            log.warning("%s was not mirrored: %s", folder, error)
            missed += 1
        except (ValueError, OSError) as error:
            log.warning("%s was skipped: %s", folder, error)
            missed += 1
    return len(folders), missed
