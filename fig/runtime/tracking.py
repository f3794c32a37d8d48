"""The only door to MLflow: a discriminator's folder is mirrored as one run, found again by its provenance key.

On request it is registered as a model, too. Local files are the truth. Mirroring twice changes nothing, so a run that
a server missed is caught up later.
"""

import csv
import json
import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from filelock import FileLock, Timeout

from fig.runtime.provenance import file_hash, provenance_key
from fig.runtime.record import read_record
from fig.settings import Json

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run
    from numpy import int64, uint8
    from numpy.typing import NDArray
    from pandas import DataFrame

    Pixels = NDArray[uint8] | NDArray[int64]

KEY = "fig.key"
COMMAND = "fig.command"
RECORDS = ("training.record.json", "evaluation.record.json")
ARTIFACTS = ("discriminator.json", "history.csv", "metrics.csv", "samples.png", *RECORDS)
OF_A_MODEL = ("discriminator.json", "model.safetensors", "scores/baseline.npz")  # what GATE reads
GATE = "fig.serving:load_gate"  # by its name: what carries results does not know how images are judged
MIRRORED = ("auroc", "fpr95_id_positive")  # of the metrics on OOD sets: the UI draws a chart of each; the file has all
BATCH = 1000  # metrics in one request, MLflow's limit
PATIENCE = {  # a server that never answers costs a job 20 s to 25 s: MLflow's defaults would wait minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
TURN = 60  # seconds that a job waits until others have written, before it leaves it to a sync

log = logging.getLogger("fig")


class TrackingError(Exception):
    """The tracking server or file could not be used."""


def default_uri(results: Path) -> str:
    """The SQLite file of a results folder, which is used where MLFLOW_TRACKING_URI names nothing else."""
    return f"sqlite:///{(results / 'mlflow.db').resolve()}"


def uri_of(results: Path) -> str:
    """The server or file in use."""
    return os.environ.get("MLFLOW_TRACKING_URI") or default_uri(results)


def sqlite_file(uri: str) -> Path | None:
    """The file that a URI of SQLite names, else None."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


@contextmanager
def one_at_a_time(results: Path) -> Iterator[None]:
    """Hold the lock of the SQLite file in use, or of the results folder: two syncers of a run would create it twice.

    Raises TrackingError where others hold it for longer than TURN.
    """
    file = sqlite_file(uri_of(results)) or results / "mlflow"
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{file}.lock")
    try:
        held = lock.acquire(timeout=TURN)
    except Timeout as error:
        raise TrackingError(f"other jobs have kept {lock.lock_file} for {TURN} s") from error
    with held:
        yield


def client_for(results: Path) -> "MlflowClient":
    """A client of the server or file in use."""
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # among what a command prints
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells every step of creating a SQLite file
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # our one warning says what its retries came to
    logging.getLogger("mlflow.store.db").setLevel(logging.CRITICAL)  # and what became of a SQLite file
    from mlflow import MlflowClient

    uri = uri_of(results)
    if (file := sqlite_file(uri)) and not file.exists():  # whole or not at all: MLflow cannot go on with some tables
        partial = file.with_name(f".partial-{file.name}")
        partial.unlink(missing_ok=True)
        MlflowClient(f"sqlite:///{partial}")
        partial.replace(file)
    return MlflowClient(uri)


def mirror(folder: Path) -> str:
    """Bring MLflow up to date with the discriminator in `results/<run>/discriminators/...`: the MLflow run's id.

    Raises TrackingError where the server does not answer or the file cannot be written.
    """
    run_folder = folder.parents[4]
    with connected(run_folder.parent) as client:
        return mirrored(client, folder, experiment_id(client, run_folder))


def register(folder: Path) -> str:
    """Mirror the discriminator in `results/<run>/discriminators/...` and register it as a model: the model's address.

    Raises TrackingError where the server does not answer, ValueError where the baseline has not scored these weights.
    """
    key = json.loads((folder / "discriminator.json").read_text())["key"]
    if not (folder / OF_A_MODEL[-1]).exists() or not any(final_metrics(folder, key)):
        raise ValueError(f"{folder} has no scores of its present weights: evaluate it, with the detector `baseline`")
    run_folder = folder.parents[4]
    with connected(run_folder.parent) as client:
        return registered(client, folder, mirrored(client, folder, experiment_id(client, run_folder)))


@contextmanager
def connected(results: Path) -> Iterator["MlflowClient"]:
    """A client that nobody else of this results folder works beside; raises TrackingError where it fails."""
    with one_at_a_time(results):
        from alembic.util import CommandError
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield client_for(results)
        except (MlflowException, SQLAlchemyError, CommandError, OSError) as error:
            raise TrackingError(str(error).splitlines()[0][:300]) from error


def try_to_mirror(folder: Path) -> float:
    """Mirror, or warn in one line where that cannot be done now; the seconds it took.

    With a server that accepts and never answers they are 25, and up to TURN more behind other jobs.
    """
    began = time.monotonic()
    try:
        mirror(folder)
    except TrackingError as error:
        log.warning("MLflow was not updated (%s); `fig sync` will catch it up", error)
    return time.monotonic() - began


def experiment_id(client: "MlflowClient", run_folder: Path) -> str:
    """The MLflow experiment named like the folder `results/<run>`, created where there is none.

    A server says itself where artifacts go; with a SQLite file they go beside the run, not into the working directory.
    """
    experiment = client.get_experiment_by_name(run_folder.name)
    if experiment is not None:
        return experiment.experiment_id
    beside = (run_folder.parent / "mlflow-artifacts" / run_folder.name).resolve().as_uri()
    artifacts = beside if sqlite_file(uri_of(run_folder.parent)) else None
    kind = {"mlflow.experimentKind": "custom_model_development"}  # the UI shows trainings, not prompts
    return client.create_experiment(run_folder.name, artifact_location=artifacts, tags=kind)


def mirrored(client: "MlflowClient", folder: Path, experiment: str) -> str:
    """Write the folder's parameters, history, metrics and artifacts into its MLflow run: the run's id."""
    card = json.loads((folder / "discriminator.json").read_text())
    found = client.search_runs([experiment], f"tags.`{KEY}` = '{card['key']}'", max_results=1)
    times = [int(1000 * float(row["time"])) for row in rows_of(folder / "history.csv")]
    run = found[0] if found else created(client, card, experiment, times[0])
    run_id = run.info.run_id
    if not run.data.params:  # nor has a run whose mirroring broke off here
        client.log_batch(run_id, params=parameters_of(card))
    metrics = [*history_metrics(folder), *final_metrics(folder, card["key"])]
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    if record := read_record(folder / RECORDS[0]):
        client.set_tag(run_id, COMMAND, record.command)
    for name in ARTIFACTS:
        if (folder / name).exists():
            client.log_artifact(run_id, str(folder / name))
    client.set_terminated(run_id, "FINISHED", end_time=times[-1])
    return str(run_id)


def created(client: "MlflowClient", card: dict[str, Json], experiment: str, started: int) -> "Run":
    """A new run with a discriminator's name and tags, `started` in milliseconds of the epoch."""
    architecture = card["architecture"]
    # The UI cuts the end of a name off, so what one compares comes first.
    name = f"{card['variant']}/{card['seed']} of {card['id_dataset']}/{architecture['network']}"
    tags = {KEY: card["key"], "mlflow.runName": name} | {f"fig.{key}": value for key, value in names_of(card).items()}
    return client.create_run(experiment, start_time=started, tags=tags)


def names_of(card: dict[str, Json]) -> dict[str, str]:
    """What a discriminator is found by."""
    network = card["architecture"]["network"]
    return {"id_dataset": card["id_dataset"], "network": network, "variant": card["variant"]}


def parameters_of(card: dict[str, Json]) -> list["Param"]:
    """The settings that a discriminator was made with, as MLflow parameters."""
    from mlflow.entities import Param

    settings = dict(flattened(card["settings"])) | dict(flattened(card["architecture"]))
    values = names_of(card) | {"seed": card["seed"]} | settings
    return [Param(name, str(value)) for name, value in values.items()]


def registered(client: "MlflowClient", folder: Path, run_id: str) -> str:
    """A version of the model named by the folder's ID data set, network and variant, found again by files and loader.

    Seeds are versions of one model. Returns the version's address, models:/<name>/<version>.
    """
    card = json.loads((folder / "discriminator.json").read_text())
    architecture = card["architecture"]
    name = f"fig-{card['id_dataset']}-{architecture['network']}-{card['variant']}"
    files = {file: file_hash(folder / file) for file in OF_A_MODEL}
    place = "model-" + provenance_key({**files, "loader": __name__})
    source = f"runs:/{run_id}/{place}"
    found = [each for each in client.search_model_versions(f"name = '{name}'") if each.source == source]
    if not found:
        with TemporaryDirectory() as scratch:
            write_model(Path(scratch) / place, folder)
            client.log_artifacts(run_id, str(Path(scratch) / place), place)
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        tags = {KEY: card["key"], "fig.seed": str(card["seed"])}
        found = [client.create_model_version(name, source, run_id, tags, await_creation_for=0)]
    return f"models:/{name}/{found[0].version}"


def write_model(path: Path, folder: Path) -> None:
    """The discriminator in `folder` as a folder that MLflow loads and serves.

    Its signature leaves the input out: MLflow's takes arrays or columns, and these models take both.
    """
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    answers = {
        "class": ("int64", (-1,)),
        "probabilities": ("float64", (-1, -1)),
        "score": ("float64", (-1,)),
        "accepted": ("bool", (-1,)),
    }
    outputs = Schema([TensorSpec(np.dtype(kind), shape, name) for name, (kind, shape) in answers.items()])
    params = ParamSchema([ParamSpec("id_acceptance", DataType.double, 0.95)])
    with TemporaryDirectory() as scratch:
        data = Path(scratch) / "discriminator"
        for file in OF_A_MODEL:
            (data / file).parent.mkdir(parents=True, exist_ok=True)
            (data / file).symlink_to((folder / file).resolve())
        warnings.filterwarnings("ignore", "(?s).*input example was not provided")  # docs/mlflow.md has one
        save_model(
            path,
            loader_module=__name__,
            data_path=str(data),
            signature=ModelSignature(None, outputs, params),
            pip_requirements=[f"{package}=={version(package)}" for package in ("fig-ood", "mlflow", "torch")],
        )


def _load_pyfunc(path: str) -> "Served":
    """What MLflow serves of the data of `write_model`; it finds this function by its name."""
    module, _, name = GATE.partition(":")
    return Served(getattr(import_module(module), name)(Path(path)))


class Gate(Protocol):
    """What is served: each of its methods takes images and the request's parameters, or raises ValueError."""

    def predict(self, images: "Pixels", params: Mapping[str, Json]) -> Mapping[str, object]:
        """The answers for arrays of pixels."""

    def predict_files(self, files: Sequence[Json], params: Mapping[str, Json]) -> Mapping[str, object]:
        """The answers for image files in base64."""


@dataclass(frozen=True)
class Served:
    """A gate as MLflow asks it: arrays of pixels, or a table with the column `image` of image files in base64."""

    gate: Gate

    def predict(self, data: "Pixels | DataFrame", params: Mapping[str, Json] | None = None) -> Mapping[str, object]:
        """The gate's answers; what it refuses becomes an MlflowException, which MLflow answers with status 400."""
        import numpy as np
        import pandas as pd
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import BAD_REQUEST

        try:
            if isinstance(data, np.ndarray):
                return self.gate.predict(data, params or {})
            if not isinstance(data, pd.DataFrame):
                raise ValueError("images are one array, or a table with the column image")
            if list(data.columns) != ["image"]:
                raise ValueError(f"the columns are {', '.join(map(str, data.columns))}, not image alone")
            return self.gate.predict_files(data["image"].tolist(), params or {})
        except ValueError as error:
            raise MlflowException(str(error), BAD_REQUEST) from error


def flattened(values: dict[str, Json], prefix: str = "") -> Iterator[tuple[str, Json]]:
    """Nested settings as MLflow parameters: {"fig": {"K": 0.1}} -> ("fig.K", 0.1); empty ones are left out."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{name}.")
        elif value not in (None, "", []):
            yield f"{prefix}{name}", value


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def history_metrics(folder: Path) -> Iterator["Metric"]:
    """The history as MLflow metrics, with the file's own time, so that writing them again changes nothing."""
    from mlflow.entities import Metric

    path = folder / "history.csv"
    for row in rows_of(path):
        stamp = int(float(row["time"]) * 1000)
        values = {name: value for name, value in row.items() if name not in ("iteration", "time") and value}
        yield from (Metric(name, float(value), stamp, int(row["iteration"])) for name, value in values.items())


def final_metrics(folder: Path, key: str) -> Iterator["Metric"]:
    """The evaluation of the weights with this key: final/<metric>, or <metric>/<detector>.<protocol>/<OOD set>.

    The UI makes a section of what stands before the last slash.
    """
    from mlflow.entities import Metric

    path = folder / "metrics.csv"
    for row in rows_of(path):
        if row["key"] != key or row["protocol"] == "grid" or (row["ood_dataset"] and row["metric"] not in MIRRORED):
            continue
        detector = ".".join(part for part in (row["detector"], row["protocol"]) if part)
        name = "/".join((row["metric"], detector, row["ood_dataset"]) if detector else ("final", row["metric"]))
        yield Metric(name, float(row["value"]), int(path.stat().st_mtime * 1000), 0)


def sync(results: Path) -> tuple[int, int]:
    """Mirror every discriminator below `results`: how many there are, and how many could not be mirrored."""
    from tqdm import tqdm

    folders = sorted(path.parent for path in results.glob("*/discriminators/*/*/*/*/discriminator.json"))
    missed = 0
    for folder in tqdm(folders, desc="MLflow", unit="run", disable=not folders):
        try:
            mirror(folder)
        except TrackingError as error:
            log.warning("%s was not mirrored: %s", folder, error)
            missed += 1
    return len(folders), missed
