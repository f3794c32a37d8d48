"""What a job was made of (code, options, inputs), for whoever has its files and nothing of Snakemake's memory.

It is kept in the timing file beside the job's outputs. What changes no result is left out.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from fig.runtime.provenance import file_hash, fingerprint, module_hash

NO_INPUTS = (  # and change no result
    "--output",
    "--checkpoints",
    "--resources",
    "--workers",
    "--run",
    "--timing",
    "--configuration",
)
INPUTS = (
    "--train",
    "--test",
    "--ood",
    "--standard",
    "--teacher",
    "--discriminator",
    "--file",
    "--checkpoint",
    "--data",
    "--table",
    "--figure",
    "--throughput",
)
GATHERED = ("metrics.csv", "history.csv")  # what evaluations and trainings wrote
GATHERING = ("tables", "table", "paired", "figures", "picture", "spectra", "report")  # stages that read it
BEHIND_PICTURES = {  # what a figure is made of, in the folders of its discriminators
    "fig1": ("metrics.csv", "discriminator.json"),
    "fig2": ("metrics.csv",),
    "fig3": ("history.csv", "discriminator.json"),
    "fig4": ("embedding.npz",),
    "fig5": ("chains.npz",),
}
DOWNLOADS = "data/downloads/"

Origin = dict[str, Any]


def options_of(words: Sequence[str]) -> dict[str, list[str]]:
    """The options of a command line that change its result, each with its values."""
    options: dict[str, list[str]] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name = word
        else:
            options.setdefault(name, []).append(word)
    return {name: values for name, values in options.items() if name not in NO_INPUTS}


def bytes_of(*paths: Path) -> str:
    """Hash over the bytes of files; those that are not there count as empty."""
    return hashlib.sha256(b"\0".join(p.read_bytes() if p.exists() else b"" for p in paths)).hexdigest()


@cache
def described(description: Path, changed: int) -> str:
    """The hash of an array that the JSON beside it says; long lists of labels are read once, while it is unchanged."""
    return json.loads(description.read_text())["sha256"]


def identity(path: Path, gathered: Sequence[str] = ()) -> str:
    """What tells an input from another: a hash, or the key of the weights in a discriminator's folder.

    Of a folder from which files are `gathered`, these count. Of a download the size does, for its hash was checked
    when it came; of any other folder the names and sizes below it. Empty where there is nothing.
    """
    card, description = path / "discriminator.json", path.with_suffix(".json")
    if card.exists():
        named = [path / name for name in gathered]
        return bytes_of(*named) if named else json.loads(card.read_text())["key"]
    if path.is_dir():
        told = sorted(f"{found.relative_to(path)} {found.stat().st_size}" for found in path.rglob("*"))
        return hashlib.sha256("\n".join(told).encode()).hexdigest()
    if path.suffix == ".npy" and description.exists():
        return described(description, description.stat().st_mtime_ns)
    if not path.exists():
        return ""
    return str(path.stat().st_size) if str(path).startswith(DOWNLOADS) else file_hash(path)


@cache
def code_of(stage: str, *also: Path) -> str:
    """Fingerprint of a stage's code, with the hashes of other files that are code to it."""
    return "-".join([fingerprint(f"fig.stages.{stage}"), *(file_hash(path)[:16] for path in also)])


def factory_of(options: dict[str, list[str]]) -> str:
    """Hash of the file with the factory of a network of one's own; empty where there is none."""
    with suppress(json.JSONDecodeError, ModuleNotFoundError):  # the stage itself says what is wrong with the option
        if factory := json.loads(options.get("--architecture", ["{}"])[0]).get("factory"):
            return module_hash(factory.partition(":")[0])
    return ""


def shown(words: Sequence[str]) -> list[str]:
    """The folders of the discriminators that the studies on a command line name; none where it names no studies."""
    told = dict(pairwise(words))
    with suppress(json.JSONDecodeError, KeyError, TypeError):  # the stage itself says what is wrong with an option
        studies, seeds = json.loads(told.get("--studies", "[]")), json.loads(told.get("--seeds", "[]"))
        places = ("id_datasets", "networks", "variants")
        names = {each: None for study in studies for each in product(*(study[place] for place in places), seeds)}
        return [f"{told['--run']}/discriminators/{'/'.join(map(str, each))}" for each in names]
    return []


def origin(stage: str, words: Sequence[str], *also: Path) -> Origin:
    """What the job with this command line is made of, as things are now; `also` are files that are code to it."""
    options = options_of(words)
    inputs = [path for name in INPUTS for path in options.get(name, [])] + shown(words)
    (target,) = options.get("--target", [""])
    gathered = BEHIND_PICTURES.get(target, GATHERED) if stage in GATHERING else ()
    return {
        "code": code_of(stage, *also),
        "factory": factory_of(options),
        "options": options,
        "inputs": {path: identity(Path(path), gathered) for path in inputs},
    }
