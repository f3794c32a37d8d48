"""What is on disk of a run: files of its discriminators, and the reasons why some are missing. Torch is not imported.

A missing value is NaN and nothing else, from here to the last table.
"""

import csv
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from numpy.typing import NDArray

from fig.intact import Layout, explain_damage, read_arrays, read_object, read_scores
from fig.runtime.folders import RECORDS
from fig.settings import Json
from fig.study.selection import Key, Selection
from fig.study.targets import Target

KEY = ["id_dataset", "network", "variant", "seed"]
METRICS = [*KEY, "key", "detector", "protocol", "setting", "ood_dataset", "metric", "value"]  # columns of a metrics.csv
UNMADE = "it was not made yet"
OTHER_WEIGHTS = "its metrics are of other weights: evaluate it again"
UNEVALUATED = "its metrics lack some of what is asked: evaluate it again"
RULES = dict.fromkeys(("metrics.csv", "scores", "samples.npz"), "evaluate")  # what makes a file of a discriminator's
RULES |= {"embedding.npz": "embedding", "chains.npz": "chains"}
IMAGES: Layout = {"images": ("N", "side", "side", 3), "confidence": ("N",), "predicted": ("N",)}
LAYOUTS: Mapping[str, Layout] = {  # of arrays, by the name of their file
    "samples": IMAGES,
    "chains": {**IMAGES, "wanted": (), "found": (), "chains": (), "steps": (), "mean_confidence": ()},
    "embedding": {
        **{"test": ("N", 2), "labels": ("N",), "generated": ("M", 2), "confidence": ("M",)},
        **{"above": (), "drawn": (), "confident": ()},
    },
}
TEXTS = ("predicted", "wanted")  # may be names of classes
CARD = {"key": str, "architecture": dict, "settings": dict}
MEASURED = {"network": str, "id_dataset": str, "width": int | float, "size": int, "images_per_second": int | float}
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
        paths = {key: folder / "discriminator.json" for key, folder in self.folders.items()}
        return {key: read_object(path, CARD, remedy_of(path)) for key, path in paths.items()}

    @cached_property
    def histories(self) -> dict[Key, pd.DataFrame]:
        """Each history.csv."""
        return {key: read_history(folder) for key, folder in self.folders.items()}

    @cached_property
    def commits(self) -> tuple[str, ...]:
        """The commits of the code that made and evaluated the discriminators, as far as records name them."""
        paths = [folder / name for folder in self.folders.values() for name in RECORDS]
        records = (read_object(path, {}, remedy_of(path)) for path in paths if path.exists())
        return tuple(dict.fromkeys(str(each["commit"]) for each in records if each.get("commit")))

    def arrays(self, name: str, variants: Sequence[str] | None = None) -> dict[Key, Arrays]:
        """The arrays in each `<name>.npz`: of all variants, or of these."""
        wanted = {key: folder for key, folder in self.folders.items() if variants is None or key[2] in variants}
        return {key: read_laid_out(folder / f"{name}.npz") for key, folder in wanted.items()}

    def scores(self, key: Key, detector: str) -> Arrays | None:
        """A discriminator's scores under a detector, of the test images ("id") and of each OOD set; None: not there."""
        path = self.folders[key] / "scores" / f"{detector}.npz"
        return read_scores(path, remedy_of(path)) if path.exists() else None

    def throughput(self, id_dataset: str, network: str) -> dict[str, Json] | None:
        """The measured throughput of the sampler; None where it was not measured."""
        path = self.run / "throughput" / id_dataset / f"{network}.json"
        return read_object(path, MEASURED, remedy_of(path)) if path.exists() else None

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
    with (
        explain_damage(metrics, "table of metrics", remedy_of(metrics)),
        metrics.open(newline="", encoding="utf-8") as file,
    ):
        first = next(csv.DictReader(file), {})
    return bool(first.get("key") == read_object(card, {"key": str}, remedy_of(card))["key"])


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


def remedy_of(path: Path) -> str:
    """How a damaged file of a run is made again: Snakemake makes what is missing."""
    missing = path.parent if path.parent.name == "scores" else path
    rule = f"its rule {RULES[missing.name]}" if missing.name in RULES else "it"
    return f"delete {missing} and run the study again: {rule} makes it again"


def read_laid_out(path: Path) -> Arrays:
    """Read the arrays of a file of a discriminator's that a figure shows; all but TEXTS are numbers."""
    found = read_arrays(path, LAYOUTS[path.stem], remedy_of(path))
    with explain_damage(path, "file of arrays", remedy_of(path)):
        if texts := [name for name in LAYOUTS[path.stem] if name not in TEXTS and found[name].dtype.kind not in "biuf"]:
            raise ValueError(f"{texts[0]} holds {found[texts[0]].dtype}")
    return found


def check_columns(table: pd.DataFrame, names: Iterable[str]) -> None:
    """Raise ValueError where a table lacks a column."""
    if lacking := [name for name in names if name not in table]:
        raise ValueError(f"it lacks the column {lacking[0]}")


def read_history(folder: Path) -> pd.DataFrame:
    """Read a discriminator's history.csv, whose columns are numbers."""
    path = folder / "history.csv"
    with explain_damage(path, "history", remedy_of(path)):
        found = pd.read_csv(path)
        check_columns(found, ["iteration"])
        return found.astype({"iteration": int} | {name: float for name in found if name != "iteration"})


def read_metrics(folder: Path) -> pd.DataFrame:
    """Read a discriminator's metrics.csv."""
    path = folder / "metrics.csv"
    with explain_damage(path, "table of metrics", remedy_of(path)):
        found = pd.read_csv(path, keep_default_na=False, na_values={"value": ["", "nan"]})
        check_columns(found, METRICS)
        return found.astype({"seed": int, "value": float})[METRICS]


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
