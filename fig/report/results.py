"""What is on disk of a run: files of its discriminators, and the reasons why some are missing. Torch is not imported.

A missing value is NaN and nothing else, from here to the last table.
"""

import csv
import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fig.settings import Json
from fig.study.selection import Key, Selection
from fig.study.targets import Target

KEY = ["id_dataset", "network", "variant", "seed"]
METRICS = [*KEY, "key", "detector", "protocol", "setting", "ood_dataset", "metric", "value"]  # columns of a metrics.csv
UNMADE = "it was not made yet"
OTHER_WEIGHTS = "its metrics are of other weights: evaluate it again"
UNEVALUATED = "its metrics lack some of what is asked: evaluate it again"
NOTED = 3  # sentences in a figure's note, at most

T = TypeVar("T")
Name = TypeVar("Name", bound=Hashable)

Arrays = Mapping[str, NDArray[Any]]  # of numbers or of texts
Missing = Mapping[Key, str]  # the reason why a discriminator is missing


@dataclass(frozen=True)
class Results:
    """The discriminators of a run that have the files that are needed, and the reasons why the others lack them."""

    run: Path  # results/<run>
    folders: Mapping[Key, Path]
    missing: Missing = field(default_factory=dict)
    images: Mapping[tuple[str, str], Path] = field(default_factory=dict)  # (size, data set): a prepared test array

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """The rows of every metrics.csv, with the columns METRICS; no detector or OOD set is an empty text."""
        tables = [read_metrics(folder) for folder in self.folders.values()]
        empty = pd.DataFrame(columns=METRICS).astype({"seed": int, "value": float})
        return pd.concat(tables, ignore_index=True) if tables else empty

    @cached_property
    def cards(self) -> dict[Key, dict[str, Json]]:
        """Each discriminator.json."""
        return {key: read_json(folder / "discriminator.json") for key, folder in self.folders.items()}

    @cached_property
    def histories(self) -> dict[Key, pd.DataFrame]:
        """Each history.csv."""
        return {key: pd.read_csv(folder / "history.csv") for key, folder in self.folders.items()}

    def arrays(self, name: str, variants: Sequence[str] | None = None) -> dict[Key, Arrays]:
        """The arrays in each `<name>.npz`: of all variants, or of these."""
        wanted = {key: folder for key, folder in self.folders.items() if variants is None or key[2] in variants}
        return {key: read_arrays(folder / f"{name}.npz") for key, folder in wanted.items()}

    def scores(self, key: Key, detector: str) -> Arrays | None:
        """A discriminator's scores under a detector, of the test images ("id") and of each OOD set; None: not there."""
        path = self.folders[key] / "scores" / f"{detector}.npz"
        return read_arrays(path) if path.exists() else None

    def throughput(self, id_dataset: str, network: str) -> dict[str, Json] | None:
        """The measured throughput of the sampler; None where it was not measured."""
        path = self.run / "throughput" / id_dataset / f"{network}.json"
        return read_json(path) if path.exists() else None

    def reason(self, key: Key) -> str:
        """Why something of a discriminator is missing."""
        return self.missing.get(key, UNEVALUATED)

    def missing_with(self, lacking: Iterable[Key]) -> Missing:
        """The missing discriminators, and those that lack a part of what is asked."""
        return {**dict.fromkeys(lacking, UNEVALUATED), **self.missing}


def read_results(run: Path, selection: Selection, target: Target, images: Iterable[Path] = ()) -> Results:
    """Find what a target shows of a run.

    `images` are prepared test arrays, data/<size>/<data set>/test.npy; those that do not exist are left out.
    """
    keys = selection.list_keys()
    if target.first_seed:
        keys = [key for key in keys if key[3] == selection.seeds[0]]
    return read_run(run, keys, target.needs, images)


def read_run(
    run: Path, keys: Iterable[Key], needs: Sequence[str] = ("metrics.csv",), images: Iterable[Path] = ()
) -> Results:
    """Find these discriminators of a run; one that lacks a file that is needed is missing, with the reason."""
    folders = {key: run.joinpath("discriminators", *map(str, key)) for key in keys}
    there = {key: folder for key, folder in folders.items() if has_files(folder, needs)}
    missing = {key: find_reason(run, key) for key in folders if key not in there}
    arrays = {(path.parts[-3], path.parts[-2]): path for path in images if path.exists()}
    return Results(run, there, missing, arrays)


def has_files(folder: Path, needs: Sequence[str]) -> bool:
    """Whether a discriminator has the files that are needed; metrics count only if they are of its weights."""
    return all((folder / name).exists() for name in needs) and ("metrics.csv" not in needs or is_evaluated(folder))


def is_evaluated(folder: Path) -> bool:
    """Whether a discriminator has metrics, and of these very weights."""
    card, metrics = folder / "discriminator.json", folder / "metrics.csv"
    if not (card.exists() and metrics.exists()):
        return False
    with metrics.open(newline="", encoding="utf-8") as file:
        return bool(next(csv.DictReader(file))["key"] == read_json(card)["key"])


def find_reason(run: Path, key: Key) -> str:
    """The reason why a discriminator lacks what it should have: the last error in its logs, if there is one."""
    place = "/".join(map(str, key))
    lines = [line for log in sorted(run.glob(f"logs/*/{place}.log")) for line in log.read_text().splitlines()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if errors:
        return errors[-1]
    folder = run / "discriminators" / place
    both = (folder / "discriminator.json").exists() and (folder / "metrics.csv").exists()
    return OTHER_WEIGHTS if both and not is_evaluated(folder) else UNMADE


def read_json(path: Path) -> dict[str, Json]:
    """Read a JSON object."""
    found: dict[str, Json] = json.loads(path.read_text(encoding="utf-8"))
    return found


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a .npz file."""
    with np.load(path) as file:
        return dict(file)


def read_metrics(folder: Path) -> pd.DataFrame:
    """Read a discriminator's metrics.csv."""
    return pd.read_csv(folder / "metrics.csv", keep_default_na=False, na_values={"value": ["", "nan"]})


def group_by(items: Iterable[T], name: Callable[[T], Name]) -> dict[Name, list[T]]:
    """The items by what `name` calls them, each group in their order."""
    groups: dict[Name, list[T]] = {}
    for item in items:
        groups.setdefault(name(item), []).append(item)
    return groups


def stack_tables(tables: Mapping[Key, pd.DataFrame]) -> pd.DataFrame:
    """Stack tables of discriminators, each row with the names of its own."""
    parts = [table.assign(**dict(zip(KEY, key, strict=True))) for key, table in tables.items()]
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=KEY)
    return whole[[*KEY, *(name for name in whole if name not in KEY)]]


def list_reasons(keys: Iterable[Key], results: Results) -> str:
    """The discriminators, each with its reason, in one line."""
    return "; ".join(f"{'/'.join(map(str, key))}: {results.reason(key)}" for key in dict.fromkeys(keys))


def describe_missing(missing: Missing) -> list[str]:
    """Say what is missing: a sentence for each ID data set, network and reason."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for (id_dataset, network, variant, seed), reason in missing.items():
        variants = found.setdefault((f"{id_dataset}/{network}", reason), {})
        variants.setdefault(variant, []).append(str(seed))
    lists = {each: [f"{name} ({' '.join(seeds)})" for name, seeds in found[each].items()] for each in found}
    return [f"Missing of {place}: {', '.join(variants)}: {reason}." for (place, reason), variants in lists.items()]


def note_missing(missing: Missing) -> str:
    """Say what is missing in few sentences, for the foot of a figure; empty where nothing is."""
    sentences = describe_missing(missing)
    more = len(sentences) - NOTED
    return " ".join([*sentences[:NOTED], *([f"{more} more of the kind are in the report."] if more > 0 else [])])
