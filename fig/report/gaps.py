"""What of a run is not there, and why."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from fig.report.records import Key

UNEVALUATED = "its metrics lack some of what is asked: evaluate it anew"


def folder_of(run: Path, key: Key) -> Path:
    """The folder of a discriminator."""
    return run / "discriminators" / "/".join(map(str, key))


def errors(log: Path) -> list[str]:
    """The lines of a log in which a stage said what it could not do."""
    return [line.removeprefix("error: ") for line in log.read_text().splitlines() if line.startswith("error: ")]


def why_missing(folder: Path, logs: Path) -> str:
    """Why a discriminator's folder holds no metrics: the last error in its logs, if there is one."""
    found = [line for path in sorted(logs.glob(f"*/{'/'.join(folder.parts[-4:])}.log")) for line in errors(path)]
    return found[-1] if found else "it was not made yet"


def gaps(run: Path, keys: Iterable[Key]) -> dict[Key, str]:
    """The discriminators of a run that have no metrics, each with the reason."""
    folders = {key: folder_of(run, key) for key in keys}
    return {
        key: why_missing(folder, run / "logs")
        for key, folder in folders.items()
        if not (folder / "metrics.csv").exists()
    }


def told(keys: Iterable[Key], gaps: Mapping[Key, str]) -> str:
    """Why what these discriminators were to give is missing."""
    return "; ".join(f"{'/'.join(map(str, key))}: {gaps.get(key, UNEVALUATED).replace('; ', ', ')}" for key in keys)


def together(reasons: Iterable[str]) -> list[str]:
    """What `told` told of many cells, each discriminator once: a sentence for each network and reason."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for each in dict.fromkeys(each for reason in reasons if reason for each in reason.split("; ")):
        key, _, why = each.partition(": ")
        place, variant, seed = key.rsplit("/", 2)
        seeds = found.setdefault((place, why), {})
        seeds[variant] = f"{seeds[variant]} {seed}" if variant in seeds else seed
    return [
        f"Missing of {place}: {', '.join(f'{name} ({seeds})' for name, seeds in variants.items())}: {why}."
        for (place, why), variants in found.items()
    ]
