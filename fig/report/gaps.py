"""What of a run is not there, and why."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from fig.report.records import Key

MOST = 3  # sentences at the foot of a picture
OTHER_WEIGHTS = "its metrics are of other weights: evaluate it anew"
UNEVALUATED = "its metrics lack some of what is asked: evaluate it anew"


def folder_of(run: Path, key: Key) -> Path:
    """The folder of a discriminator."""
    return run / "discriminators" / "/".join(map(str, key))


def errors(log: Path) -> list[str]:
    """The lines of a log in which a stage said what it could not do."""
    return [line.removeprefix("error: ") for line in log.read_text().splitlines() if line.startswith("error: ")]


def is_evaluated(folder: Path) -> bool:
    """Whether a discriminator has metrics, and of these very weights."""
    card, metrics = folder / "discriminator.json", folder / "metrics.csv"
    if not (card.exists() and metrics.exists()):
        return False
    with metrics.open(newline="", encoding="utf-8") as file:
        return next(csv.DictReader(file))["key"] == json.loads(card.read_text())["key"]


def why_missing(folder: Path, logs: Path) -> str:
    """Why a discriminator's folder lacks what it should hold: the last error in its logs, if there is one."""
    found = [line for path in sorted(logs.glob(f"*/{'/'.join(folder.parts[-4:])}.log")) for line in errors(path)]
    if found:
        return found[-1]
    both = (folder / "discriminator.json").exists() and (folder / "metrics.csv").exists()
    return OTHER_WEIGHTS if both and not is_evaluated(folder) else "it was not made yet"


def gaps(run: Path, keys: Iterable[Key]) -> dict[Key, str]:
    """The discriminators of a run that are not evaluated, each with the reason."""
    folders = {key: folder_of(run, key) for key in keys}
    return {key: why_missing(folder, run / "logs") for key, folder in folders.items() if not is_evaluated(folder)}


def told(keys: Iterable[Key], gaps: Mapping[Key, str]) -> str:
    """Why what these discriminators were to give is missing."""
    return "; ".join(f"{'/'.join(map(str, key))}: {gaps.get(key, UNEVALUATED).replace('; ', ', ')}" for key in keys)


def together(reasons: Iterable[str]) -> list[str]:
    """What `told` told of many cells, as sentences that name each discriminator once."""
    missing: dict[Key, str] = {}
    for each in dict.fromkeys(each for reason in reasons if reason for each in reason.split("; ")):
        name, _, why = each.partition(": ")
        id_dataset, network, variant, seed = name.split("/")
        missing[id_dataset, network, variant, int(seed)] = why
    return sentences(missing)


def sentences(missing: Mapping[Key, str]) -> list[str]:
    """What is missing: a sentence for each ID data set, network and reason."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for (id_dataset, network, variant, seed), why in missing.items():
        variants = found.setdefault((f"{id_dataset}/{network}", why), {})
        variants.setdefault(variant, []).append(str(seed))
    seeded = {each: [f"{name} ({' '.join(seeds)})" for name, seeds in found[each].items()] for each in found}
    return [f"Missing of {place}: {', '.join(variants)}: {why}." for (place, why), variants in seeded.items()]


def note(missing: Mapping[Key, str]) -> str:
    """The foot of a picture: what is missing, in few sentences; empty where nothing is."""
    all_told = sentences(missing)
    more = len(all_told) - MOST
    return " ".join([*all_told[:MOST], *([f"{more} more of the kind are in the report."] if more > 0 else [])])
