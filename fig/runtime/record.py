"""Write and read records: one file next to a job's outputs, with what they were made of and how long it took."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Self

from fig.files import replacing
from fig.intact import read_object
from fig.runtime.provenance import file_hash, provenance_key
from fig.settings import Json, adapter_of

SUFFIX = ".record.json"
DOWNLOADS = "data/downloads/"


@dataclass(frozen=True)
class Origin:
    """Everything that decides the result of a job. Equal origins mean equal results."""

    stage: str
    code: str  # fingerprint of its stage and of the stage's imports
    settings: Mapping[str, Json]
    inputs: Mapping[str, str]  # hash by path

    @property
    def key(self) -> str:
        """The provenance key: 16 hexadecimal digits. The inputs' paths do not enter it."""
        parts = asdict(self) | {"inputs": list(self.inputs.values())}
        return provenance_key(parts)

    def differences(self, other: Self) -> Iterator[str]:
        """Yield a phrase for each kind of difference between this origin and another: code, settings, inputs."""
        if self.code != other.code:
            yield "its code"
        if names := changed_names(self.settings, other.settings):
            yield f"its settings {', '.join(names)}"
        if names := changed_names(self.inputs, other.inputs):
            yield f"its inputs {', '.join(names)}"


def changed_names(before: Mapping[str, object], after: Mapping[str, object], prefix: str = "") -> list[str]:
    """Return the dotted names of the values that differ between two mappings."""
    names = []
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            names += changed_names(old, new, f"{prefix}{name}.")
        else:
            names.append(f"{prefix}{name}")
    return names


@dataclass
class Times:
    """The seconds of a job, and its device. `started` and `ended` are since the epoch, the others are durations."""

    started: float = field(default_factory=time.time)
    startup: float = 0.0  # of the interpreter and imports, before the job's first line
    ray: float = 0.0  # starting and stopping workers
    work: float = 0.0  # the function on the workers
    tracking: float = 0.0  # MLflow
    ended: float = 0.0
    device: str = ""  # of the function on the workers: the GPU's name, or the CPU's with its instructions

    def __post_init__(self) -> None:
        self.began = time.monotonic()  # `startup` seconds after `started`

    def now(self) -> float:
        """Return the time since the epoch, by a clock that nobody can set while the job runs."""
        return self.started + self.startup + time.monotonic() - self.began

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the seconds of the block to the field `name`."""
        began = time.monotonic()
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) + time.monotonic() - began)


@dataclass(frozen=True)
class Record:
    """A finished job: its origin, the command that repeats it, its times, and the commit of the code for people."""

    origin: Origin
    command: str
    runtime: Mapping[str, Json]  # values that do not change the result, such as workers
    times: Times
    commit: str = ""  # or empty; the origin's fingerprint decides what is up to date

    def write(self, path: Path) -> None:
        """Write the record as JSON, whole or not at all."""
        times = replace(self.times, ended=self.times.now())
        values = asdict(self.origin) | {"command": self.command, "commit": self.commit}
        values |= {"runtime": dict(self.runtime), "times": asdict(times)}
        with replacing(path) as partial:
            partial.write_text(json.dumps(values, indent=1) + "\n")


def read_record(path: Path) -> Record | None:
    """Return the record in a file, or None if the file is missing, damaged or of another version of the project."""
    try:
        values = read_object(path)
        return adapter_of(Record).validate_python(values | {"origin": values})
    except (FileNotFoundError, ValueError):
        return None


@cache
def described_hash(description: Path, changed: int) -> str:
    """Return the hash of an array from its JSON, whose megabytes of labels are read only once while unchanged."""
    return str(read_object(description, {"sha256": str}, "prepare it again")["sha256"])


def hash_input(path: Path) -> str:
    """Return a text that identifies the content of an input, or an empty one if nothing exists at the path.

    For a discriminator's folder, this is the key in its card. For a prepared array, it is the hash in its description.
    For a download, it is its size, because its hash was checked on arrival. For any other folder, it is a hash of the
    names and sizes below it, and for any other file a hash of its bytes.
    """
    card, description = path / "discriminator.json", path.with_suffix(".json")
    if card.exists():
        return str(read_object(card, {"key": str})["key"])
    if path.is_dir():
        below = (each for each in path.rglob("*") if not each.name.startswith("."))  # Snakemake's own timestamps
        names = sorted(f"{found.relative_to(path)} {found.stat().st_size}" for found in below)
        return hashlib.sha256("\n".join(names).encode()).hexdigest()
    if path.suffix == ".npy" and description.exists():
        return described_hash(description, description.stat().st_mtime_ns)
    if not path.exists():
        return ""
    return str(path.stat().st_size) if str(path).startswith(DOWNLOADS) else file_hash(path)
