"""What a discriminator's folder says of it, in the order and under the names in which it is tracked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fig.intact import AGAIN, Kinds, read_object, read_rows, refused
from fig.runtime.record import read_record
from fig.settings import Json, flatten

RECORDS = ("training.record.json", "evaluation.record.json")
MIRRORED = ("auroc", "fpr95_id_positive")  # of the metrics on OOD sets: the UI draws a chart of each; the file has all
COLUMNS = {  # numbers, then texts
    "history.csv": (("iteration", "time"), ()),
    "metrics.csv": (("value",), ("key", "detector", "protocol", "ood_dataset", "metric")),
}
CARD: Kinds = {  # what is read of a discriminator.json
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
OF_TEST_IMAGES = ("accuracy", "calibration_error")  # of those without an OOD set; others are of generated samples


@dataclass(frozen=True)
class DataSet:
    """A prepared split that a discriminator was trained or judged on."""

    name: str
    context: str  # training, test or ood
    path: str
    digest: str  # SHA-256 of the images


@dataclass(frozen=True)
class Point:
    """A value that was measured."""

    name: str
    value: float
    time: int  # milliseconds of the epoch: the file's own, so that a point written again is the same
    step: int = 0
    data: DataSet | None = None  # that it was measured on


@dataclass(frozen=True)
class Contents:
    """What is tracked of a discriminator's folder."""

    folder: Path
    card: dict[str, Json]
    started: int  # milliseconds of the epoch
    ended: int  # the newest time of the history: a clock may have been set back
    parameters: dict[str, str]
    history: list[Point]
    evaluation: list[Point]
    data: list[DataSet]
    command: str


def read_folder(folder: Path) -> Contents:
    """Read a discriminator's folder; raises ValueError naming the file that is damaged, OSError one that is missing."""
    card = read_card(folder)
    path = folder / "history.csv"
    rows = rows_of(path)
    with refused(path, "history", AGAIN):
        if not rows:
            raise ValueError("it has no rows")
        times = [int(1000 * float(row["time"])) for row in rows]
        history = [point for row, time in zip(rows, times, strict=True) for point in points_of(row, time)]
    evaluation = list(evaluation_of(folder, card["key"]))
    record = read_record(folder / RECORDS[0])
    command = record.command if record else ""
    values = parameters_of(card), history, evaluation, data_of(folder)
    return Contents(folder, card, times[0], max(times), *values, command)


def read_card(folder: Path) -> dict[str, Json]:
    """What `discriminator.json` says; raises ValueError naming the file where it lacks what is read of it here."""
    return read_object(folder / "discriminator.json", CARD)


def names_of(card: dict[str, Json]) -> dict[str, str]:
    """What a discriminator is found by."""
    network = card["architecture"]["network"]
    return {"id_dataset": card["id_dataset"], "network": network, "variant": card["variant"]}


def parameters_of(card: dict[str, Json]) -> dict[str, str]:
    """The settings that a discriminator was made with, by dotted names."""
    settings = dict(flatten(card["settings"])) | dict(flatten(card["architecture"]))
    return {name: str(value) for name, value in (names_of(card) | {"seed": card["seed"]} | settings).items()}


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows of a history or of metrics; none where there is no file."""
    return read_rows(path, *COLUMNS[path.name]) if path.exists() else []


def data_of(folder: Path) -> list[DataSet]:
    """The prepared splits that a discriminator was trained and judged on, as the records of the two say."""
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
    """What a row of the history says of the training."""
    for name, value in row.items():
        if name not in ("iteration", "time") and value:
            yield Point(name, float(value), time, int(row["iteration"]))


def evaluation_of(folder: Path, key: str) -> Iterator[Point]:
    """The evaluation of the weights with this key: final/<metric>, or <metric>/<detector>.<protocol>/<OOD set>.

    The UI makes a section of what stands before the last slash.
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
