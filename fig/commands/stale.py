"""Which outputs of a study are out of date, by what is said beside each and not by Snakemake's memory."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fig.commands.jobs import Job
from fig.methods.table import module_of
from fig.report.captions import CAPTIONS
from fig.report.markup import TEMPLATES
from fig.report.paper import FILES
from fig.runtime.origin import Origin, origin
from fig.runtime.provenance import fingerprint

PAGES = (*TEMPLATES, *CAPTIONS)
READ = {"report": PAGES, "table": FILES, "speeds": FILES, "paired": FILES}  # files that are code to a stage
TRAININGS = ("adopt", "pretrain", "retrain", "finetune", "transfer")
UNKNOWN = "nothing beside it says what it was made of"


def code_of_training(job: Job, options: Mapping[str, list[str]]) -> str:
    """The fingerprint that a discriminator made by this job would carry."""
    if job.rule == "adopt":
        return fingerprint("fig.stages.adopt")
    method = json.loads(options.get("--settings", ['{"method": "standard"}'])[0])["method"]
    return fingerprint(f"fig.stages.{job.rule}", module_of(method))


def now(job: Job) -> Origin:
    """What a job would be made of now."""
    found = origin(job.rule, job.words, *READ.get(job.rule, ()))
    return found | {"code": code_of_training(job, found["options"])} if job.rule in TRAININGS else found


def then(job: Job, record: Path) -> Origin:
    """What the outputs of a job were made of, empty where they do not say; of a training's code its card speaks."""
    made_of = json.loads(record.read_text()).get("made_of") or {}
    if made_of and job.rule in TRAININGS:
        card = json.loads((record.parent / "discriminator.json").read_text())
        made_of |= {"code": card["provenance"]["made_of"]["code"]}
    return made_of


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names under which two mappings differ."""
    return [name for name in {**before, **after} if before.get(name) != after.get(name)]


def why_stale(job: Job) -> str:
    """Why the outputs of a job are not what it would make now; empty where they are, or where some are missing."""
    record = job.record
    if record is None or not all(Path(path).exists() for path in job.output):
        return ""
    before, after = then(job, record), now(job)
    if not before:
        return UNKNOWN
    if (before["code"], before["factory"]) != (after["code"], after["factory"]):
        return "its code changed"
    if names := changed(before["options"], after["options"]):
        return f"its settings changed: {', '.join(names)}"
    if names := changed(before["inputs"], after["inputs"]):
        return f"its inputs changed: {', '.join(names)}"
    return ""


def stale(jobs: Iterable[Job]) -> dict[Job, str]:
    """The jobs whose outputs are out of date, each with the reason; what follows from them is not among them."""
    return {job: why for job in jobs if (why := why_stale(job))}


def print_stale(found: Mapping[Job, str]) -> None:
    """Print a line for each job whose outputs are out of date, and one for all of which that is not known."""
    for job, why in found.items():
        if why != UNKNOWN:
            print(f"stale: {job.rule} {job.output[0]}: {why}")
    if unknown := sum(why == UNKNOWN for why in found.values()):
        print(f"unknown: of {unknown} outputs {UNKNOWN}")
