"""Read a discriminator's folder, in the order and under the names that MLflow shows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fig.intact import AGAIN, Kinds, explain_damage, read_object, read_rows
from fig.runtime.record import read_record
from fig.settings import Json, flatten

RECORDS = ("training.record.json", "evaluation.record.json")
MIRRORED = ("auroc", "fpr95_id_positive")  # of the metrics on OOD sets: the UI draws a chart of each; the file has all
COLUMNS = {  # numbers, then texts
    "history.csv": (("iteration", "time"), ()),
    "metrics.csv": (("value",), ("key", "detector", "protocol", "ood_dataset", "metric")),
}
CARD: Kinds = {  # the keys that this module reads from a discriminator.json
    "key": str,
    "id_dataset": str,
    "variant": str,
    "seed": int,
    "settings": dict,
    "architecture": dict,
    "architecture.network": str,
    "architecture.classes": int,
    "architecture.width": int | float,
}
OF_TEST_IMAGES = ("accuracy", "calibration_error")  # metrics of test images; other metrics without an OOD set: samples


@dataclass(frozen=True)
class DataSet:
    """A prepared split that a discriminator was trained or evaluated on."""

    name: str
    context: str  # training, test or ood
    path: str
    digest: str  # SHA-256 of the images


@dataclass(frozen=True)
class Point:
    """A measured value."""

    name: str
    value: float
    time: int  # milliseconds of the epoch: the file's own, so that a point written again is the same
    step: int = 0
    data: DataSet | None = None  # the data set that it was measured on


@dataclass(frozen=True)
class Contents:
    """The parts of a discriminator's folder that MLflow mirrors."""

    folder: Path
    card: dict[str, Json]
    started: int  # milliseconds of the epoch
    ended: int  # the newest time of the history: a clock may have been set back
    parameters: dict[str, str]
    history: list[Point]
    evaluation: list[Point]
    data: list[DataSet]
    command: str
    commit: str


def read_folder(folder: Path) -> Contents:
    """Read a discriminator's folder. Raises ValueError for a damaged file, OSError for a missing one; both name it."""
    card = read_card(folder)
    path = folder / "history.csv"
    rows = rows_of(path)
    with explain_damage(path, "history", AGAIN):
        if not rows:
            raise ValueError("it has no rows")
        times = [int(1000 * float(row["time"])) for row in rows]
        history = [point for row, time in zip(rows, times, strict=True) for point in points_of(row, time)]
    evaluation = list(evaluation_of(folder, card["key"]))
    record = read_record(folder / RECORDS[0])
    made = (record.command, record.commit) if record else ("", "")
    values = parameters_of(card), history, evaluation, data_of(folder)
    return Contents(folder, card, times[0], max(times), *values, *made)


def run_of(folder: Path) -> Path:
    """Return the folder `results/<run>` that a discriminator is in. Raises ValueError if it is in none."""
    above = folder.absolute().parents
    if len(above) < 5 or above[3].name != "discriminators":
        raise ValueError(
            f"{folder} is not results/<run>/discriminators/<ID data set>/<network>/<variant>/<seed>: move it there"
        )
    return above[4]


def read_card(folder: Path) -> dict[str, Json]:
    """Return the content of `discriminator.json`. Raises ValueError, naming the file, if it lacks a key of CARD."""
    return read_object(folder / "discriminator.json", CARD)


def names_of(card: dict[str, Json]) -> dict[str, str]:
    """Return the names that find a discriminator: its ID data set, network and variant."""
    network = card["architecture"]["network"]
    return {"id_dataset": card["id_dataset"], "network": network, "variant": card["variant"]}


def parameters_of(card: dict[str, Json]) -> dict[str, str]:
    """Return the settings of a discriminator by dotted names."""
    settings = dict(flatten(card["settings"])) | dict(flatten(card["architecture"]))
    return {name: str(value) for name, value in (names_of(card) | {"seed": card["seed"]} | settings).items()}


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a history or of metrics, or an empty list without a file."""
    return read_rows(path, *COLUMNS[path.name]) if path.exists() else []


def data_of(folder: Path) -> list[DataSet]:
    """Return the prepared splits of a discriminator's training and evaluation, from the records of both."""
    trained, judged = (
        [(path, digest) for path, digest in record.origin.inputs.items() if path.endswith(".npy")] if record else []
        for record in (read_record(folder / name) for name in RECORDS)
    )
    parts = {"training": trained[:1], "test": judged[1:2], "ood": judged[2:]}  # evaluation has the training images too
    return [
        DataSet(Path(path).parent.name, context, path, digest)
        for context, splits in parts.items()
        for path, digest in splits
    ]


def points_of(row: Mapping[str, str], time: int) -> Iterator[Point]:
    """Yield the points of a row of the training's history."""
    for name, value in row.items():
        if name not in ("iteration", "time") and value:
            yield Point(name, float(value), time, int(row["iteration"]))


def evaluation_of(folder: Path, key: str) -> Iterator[Point]:
    """Yield the evaluation of the weights with this key: final/<metric>, or <metric>/<detector>.<protocol>/<OOD set>.

    MLflow's UI makes a section of the part before the last slash.
    """
    path = folder / "metrics.csv"
    data = {each.name if each.context == "ood" else each.context: each for each in data_of(folder)}
    for row in rows_of(path):
        metric, ood = row["metric"], row["ood_dataset"]
        if row["key"] != key or row["protocol"] == "grid" or (ood and metric not in MIRRORED):
            continue
        detector = ".".join(part for part in (row["detector"], row["protocol"]) if part)
        name = "/".join((metric, detector, ood) if detector else ("final", metric))
        on = data.get(ood or ("test" if metric in OF_TEST_IMAGES else ""))
        yield Point(name, float(row["value"]), int(path.stat().st_mtime * 1000), data=on)
