"""The page docs/reruns.md, by asking Snakemake what each change would rerun: `make docs` writes it

The study of everything.yaml counts as finished: its outputs are empty files that Snakemake takes for made.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from snakemake.executors import touch

from fig.commands.jobs import PlannedJob, list_jobs, list_jobs_to_run, remember_outputs
from fig.detectors.table import complete_entry
from fig.runtime.job import Role, plain
from fig.runtime.provenance import modules_behind
from fig.runtime.record import Record, Times
from fig.stages.support.training import Training
from fig.study import complete_config
from fig.study.config import Blocks
from support.workspace import ROOT, copy_of_project

STATED = yaml.safe_load((ROOT / "tests" / "everything.yaml").read_text())
STUDY = Path("study.yaml")
WORDS = {  # another value for settings that are words
    "scaling": "standardised",
    "precision": "bfloat16",
    "noise": "deviation",
    "direction": "gradient",
    "penalty": "divergence",
    "statistics": "running",
    "stop": "batch",
    "unit": "inputs",
    "normalised_over": "test",
    "preset": "authors",
    "method": "scratch",
    "teacher": "vgg19/mixup",
    "base": "mixup",
    "detector": "pytorch_ood.detector.MaxLogit",
    "factory": "mymodels:other",
    "checkpoint": "other.safetensors",
    "hash": "md5:11",
    "reader": "arrays",
    "path": "own/other",
    "labels": "own/other.npy",
    "wanted": {"digits": "3"},
    "groups": {"near": ["photos-c"]},
    "controls": {"standard": ["fig"]},
}
MORE = {  # for lists
    "starts": "phases",
    "seeds": 1,
    "id_datasets": "plants",
    "ood_datasets": "photos-r-antialias",
    "networks": "vgg19",
    "variants": "more",
    "targets": "table4",
    "taps": "head",
}
MAPS = ("networks", "datasets", "detectors", "variants", "per_id_dataset", "published")  # whose keys are names
LENGTHS = ("epochs", "iterations")
FILES = ("own/test.npz", "own/labels.npy", "own/other.npy", "weights.safetensors", "other.safetensors", "mymodels.py")
FOLDERS = ("own/train", "own/plants", "own/odin", "own/other")
UPDATED = "Input files updated by another job"

Keys = tuple[str | int, ...]


def leaves(value: Any, path: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """The settings in a configuration, each with the keys that lead to it."""
    if isinstance(value, Mapping) and path[-1:] not in (("arguments",), ("wanted",), ("groups",), ("controls",)):
        for name, each in value.items():
            yield from leaves(each, (*path, name))
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        for place, each in enumerate(value):
            yield from leaves(each, (*path, place))
    else:
        yield path, value


def named(path: Keys) -> str:
    """A setting's key as people write it: `*` stands for a name or a place in a list."""
    words = ["*" if isinstance(word, int) or (i and path[i - 1] in MAPS) else str(word) for i, word in enumerate(path)]
    if path[0] in ("variants", "per_id_dataset") and len(path) > 3:
        words = [*words[:3], "*"]  # the same settings again, for one variant or ID data set
    return ".".join(words)


def changed_value(name: str, value: Any) -> Any:
    """Another value of a setting."""
    if name in MORE:
        return [*value, MORE[name]]
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value / 2 or 0.5
        case [*most, int(last)]:
            return [*most, last + 1]
        case [*most, float(last)]:
            return [*most, last / 2]
        case [_, *most]:
            return most
        case []:
            return [0.5]
        case Mapping():
            return WORDS.get(name, {**value, "more": 1})
    return WORDS.get(name, f"{value}-2")


def with_change(stated: Mapping[str, Any], path: Keys, value: Any) -> dict[str, Any]:
    """A configuration in which one setting has another value."""
    changed: Any = deepcopy(dict(stated))
    inner = changed
    for word in path[:-1]:
        inner = inner.setdefault(word, {}) if isinstance(inner, dict) else inner[word]
    inner[path[-1]] = value
    return changed


def whole_config() -> dict[str, Any]:
    """The study with all its settings, stated or by default; of data sets, networks and variants those stated."""
    config = complete_config(STATED)
    whole = {each.name: plain(getattr(config, each.name)) for each in fields(Blocks)} | plain(config.methods)
    whole["detectors"] = {name: complete_entry(name, own) for name, own in config.detectors.items()}
    for name, own in config.detectors.items():
        if "detector" not in own:
            whole["detectors"][name].pop("detector")
    for training in ("pretraining", "finetuning"):  # a length in epochs stands in place of one in iterations
        whole[training] = {name: value for name, value in whole[training].items() if value or name not in LENGTHS}
    stated = ("datasets", "networks", "studies", "variants", "per_id_dataset")
    return {**whole, **{name: STATED[name] for name in stated}}


def settings() -> dict[str, tuple[Keys, Any]]:
    """A setting of the study for each key of the configuration."""
    whole = whole_config()
    found: dict[str, tuple[Keys, Any]] = {}
    for path, value in leaves(whole):
        found.setdefault(named(path), (path, value))
    return found


def written(path: str) -> Path:
    """The path, in a folder that is there."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return Path(path)


def fabricate(planned: PlannedJob) -> None:
    """Make the outputs of a job, empty but for what distinguishes them from others."""
    for path in planned.output:
        if not Path(path).suffix:
            Path(path).mkdir(parents=True)
        elif path.endswith("discriminator.json"):
            written(path).write_text(json.dumps({"key": path}))
        elif path.startswith("data/") and path.endswith(".json"):
            written(path).write_text(json.dumps({"sha256": path, "count": 100}))
        else:
            written(path).touch()


def record(planned: PlannedJob) -> None:
    """Write the record of a job, as its stage would have done."""
    if path := planned.job.record_path():
        job = planned.job
        Record(job.origin(), job.command(), job.values(Role.RUNTIME), Times()).write(path)


@contextmanager
def begun() -> Iterator[None]:
    """Work in a folder where the study is stated, and all that it names is there."""
    before = Path.cwd()
    with TemporaryDirectory() as folder:
        copy_of_project(Path(folder))
        os.chdir(folder)
        try:
            for path in FOLDERS:
                Path(path).mkdir(parents=True)
                (Path(path) / "image.png").touch()
            for path in FILES:
                Path(path).touch()
            STUDY.write_text(yaml.safe_dump(STATED))
            yield
        finally:
            os.chdir(before)


@contextmanager
def finished() -> Iterator[None]:
    """Work in a folder where the study is finished."""
    touch.Executor.SLEEPING_TIME = 0
    with begun():
        jobs = list_jobs([STUDY])
        for each in (fabricate, record):
            for job in jobs:
                each(job)
        remember_outputs([STUDY])
        began = STUDY.stat()
        for path in Path("data").rglob("*"):  # older than all that another study may make of them
            os.utime(path, ns=(began.st_atime_ns, began.st_mtime_ns))
        yield


@dataclass(frozen=True)
class Change:
    """A change of a file in the folder of the study."""

    name: str
    path: Path
    content: bytes | None  # None: it is touched

    @contextmanager
    def made(self) -> Iterator[None]:
        """Make it, and undo it."""
        before = self.path.read_bytes() if self.path.exists() else None
        times = (self.path if before is not None else self.path.parent).stat()
        if self.content is None:
            self.path.touch()
        else:
            self.path.write_bytes(self.content)
        try:
            yield
        finally:
            if before is None:
                self.path.unlink()
            else:
                self.path.write_bytes(before)
            os.utime(self.path if before is not None else self.path.parent, ns=(times.st_atime_ns, times.st_mtime_ns))


def change_of_setting(name: str, path: Keys, value: Any) -> Change:
    """The change of a setting to another value."""
    stated = with_change(STATED, path, changed_value(str(path[-1]), value))
    return Change(name, STUDY, yaml.safe_dump(stated).encode())


MODEL = "results/everything/discriminators/digits/resnet18/standard/0"
INPUTS = [
    Change("a file of your own images or labels, changed", Path("own/test.npz"), b"other"),
    Change("a file of your own images or labels, touched", Path("own/test.npz"), None),
    Change("a folder of your own images, with one more in it", Path("own/train/more.png"), b"other"),
    Change("an image in such a folder, changed in its place", Path("own/train/image.png"), b"other"),
    Change("a prepared array, changed", Path("data/32/digits/train.npy"), b"other"),
    Change("a prepared array, touched", Path("data/32/digits/train.npy"), None),
    Change("a checkpoint of your own network, changed", Path("weights.safetensors"), b"other"),
    Change("the file with its factory, changed", Path("mymodels.py"), b"other"),
    Change("a standard discriminator's weights, changed", Path(f"{MODEL}/model.safetensors"), b"other"),
    Change("a discriminator's metrics, changed", Path(f"{MODEL}/metrics.csv"), b"other"),
]


def planned(change: Change) -> list[PlannedJob]:
    """What Snakemake would run after a change."""
    with change.made():
        return list_jobs_to_run([STUDY])


def first(jobs: Iterable[PlannedJob]) -> tuple[str, ...]:
    """The rules among jobs to run that do not only follow from others."""
    return tuple(sorted({job.rule for job in jobs if not job.reason.startswith(UPDATED)}))


def following(jobs: Iterable[PlannedJob]) -> dict[str, list[str]]:
    """What follows from each rule: all that reads what it makes, directly or not."""
    jobs = list(jobs)
    maker = {path: job.rule for job in jobs for path in job.output}
    direct = {job.rule: set[str]() for job in jobs}
    for job in jobs:
        for path in job.input:
            if path in maker:
                direct[maker[path]].add(job.rule)
    result = {}
    for rule in direct:
        waiting, found = [rule], dict[str, None]()
        while waiting:
            new = [name for name in sorted(direct[waiting.pop()]) if name not in found]
            found |= dict.fromkeys(new)
            waiting += new
        result[rule] = sorted(found)
    return {rule: result[rule] for rule in sorted(result, key=lambda rule: (-len(result[rule]), rule))}


def label_of(planned: PlannedJob) -> str:
    """What decides which code a job depends on: the method of a training, the detectors of an evaluation."""
    job = planned.job
    return job.method if isinstance(job, Training) else " ".join(module.rpartition(".")[2] for module in job.modules())


def code_behind(jobs: Iterable[PlannedJob]) -> dict[str, list[str]]:
    """The rules whose code each module of `fig` is; of trainings with their method, where not all of them have it."""
    stages: dict[str, dict[str, set[str]]] = {}
    for planned in jobs:
        modules = modules_behind(*planned.job.code_modules())
        stages.setdefault(planned.rule, {}).setdefault(label_of(planned), set()).update(modules)
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted(ROOT.glob("fig/**/*.py"))]
    found = {}
    for name in (name.removesuffix(".__init__") for name in names):
        found[name] = []
        for rule, labels in sorted(stages.items()):
            having = sorted(label for label, modules in labels.items() if name in modules)
            some = f" ({', '.join(having)})" if len(having) < len(labels) else ""
            found[name] += [f"{rule}{some}"] * bool(having)
    return found


def rows(outcomes: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """A table's rows: what is rerun, and the changes that do it; those that rerun nothing come last."""
    grouped: dict[tuple[str, ...], list[str]] = {}
    for name, rules in outcomes.items():
        grouped.setdefault(tuple(rules), []).append(f"`{name}`" if " " not in name else name)
    for rules in sorted(grouped, key=lambda rules: (not rules, rules)):
        yield f"| {', '.join(rules) or 'nothing'} | {'; '.join(grouped[rules])} |"


INTRODUCTION = """# What a change reruns

Snakemake reruns a job when its settings, its inputs or its own code changed. This page was made by asking it, one
change at a time, in a study that has everything; `make docs` rebuilds it, and a test fails when it is out of date. The
tables name the rules that a change reruns by itself, for the discriminators and data that it touches. The first table
lists what follows from each rule.

Nothing reruns after a change of comments, docstrings or layout in `fig`, of resources (`resources` in the
configuration, threads, memory, time, profiles), or of a file's time alone.

## After results were copied, or `.snakemake` was lost

Each job leaves a record next to its outputs (`*.record.json`): its code, its settings, and hashes of its inputs. (It
also names the Git commit, for people: a commit that leaves a stage's code alone makes nothing stale.) So `fig plan`
finds what is stale without Snakemake's memory, which is the folder `.snakemake`, and without the files' times, which
neither `cp -r` nor git keeps:

```sh
fig plan config/demo.yaml                                    # lists what is stale, and why
fig recover config/demo.yaml && snakemake --profile local    # makes just that, and what follows from it
```

`fig recover` tells Snakemake that everything else is up to date. It takes about a tenth of a second a job. Outputs
without a record are taken as they are, and counted. Downloads are not checked again, since their hashes were checked
on arrival; a prepared array is known by the hash in the JSON file next to it.

Snakemake does not see an image that changed in place in a folder of your own, because it looks at the folder: `touch`
the folder. `fig plan` sees it if its size changed.
"""


def main() -> None:
    """Print the page."""
    with finished():
        assert not list_jobs_to_run([STUDY]), "the study counts as finished, but Snakemake would run some of it"
        jobs = list_jobs([STUDY])
        stated = {n: first(planned(change_of_setting(n, *setting))) for n, setting in settings().items()}
        inputs = {change.name: first(planned(change)) for change in INPUTS}
    print(INTRODUCTION)
    print("## Rules\n\n| rule | what follows from it |\n|---|---|")
    for rule, others in following(jobs).items():
        print(f"| {rule} | {', '.join(others) or 'nothing'} |")
    print("\n## Inputs\n\n| reruns | change |\n|---|---|", *rows(inputs), sep="\n")
    print("\n## Settings\n\n| reruns | keys |\n|---|---|", *rows(stated), sep="\n")
    print("\n## Code\n\n| reruns | modules |\n|---|---|", *rows(code_behind(jobs)), sep="\n")


if __name__ == "__main__":
    main()
