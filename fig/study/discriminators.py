"""What follows from a configuration: its discriminators, their recipes, the splits they need, and what targets show."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, TypeVar

from fig.data.catalogue import ood_parts, size_of
from fig.methods.table import METHODS
from fig.settings import Augmentation, Json, TrainingSettings, read_settings
from fig.study.config import STANDARD, Config, Variant, merge
from fig.study.selection import Key, Selection, Study
from fig.study.targets import TARGETS, Target

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


@dataclass(frozen=True)
class Discriminator:
    """One discriminator of a run, by its four names, the OOD sets it is evaluated on and the detectors that do it."""

    id_dataset: str
    network: str
    variant: str
    seed: int
    ood_datasets: tuple[str, ...] = ()
    detectors: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """Its four names."""
        return self.id_dataset, self.network, self.variant, self.seed

    @property
    def path(self) -> str:
        """Its folder below `results/<run>/discriminators/`."""
        return "/".join(map(str, self.key))


@dataclass(frozen=True)
class Recipe:
    """How a variant is made on an ID data set."""

    method: str
    settings: Json  # of the method: one of fig.methods.table's
    training: TrainingSettings
    augmentation: Augmentation

    def stated_settings(self) -> dict[str, Json]:
        """The settings of the method that differ from its defaults."""
        stated: dict[str, Json] = differences_from(METHODS[self.method].settings(), self.settings)
        return stated


def list_discriminators(config: Config, target: Target | None = None) -> list[Discriminator]:
    """Every discriminator of the studies, or of those that a target shows.

    One in two studies has the OOD sets and detectors of both.
    """
    found: dict[Key, tuple[dict[str, None], dict[str, None]]] = {}
    for study in find_studies(config, target) if target else config.studies:
        for names, seed in product(study.names(), config.seeds):
            sets, detectors = found.setdefault((*names, seed), ({}, {}))
            sets.update(dict.fromkeys(study.ood_datasets))
            detectors.update(dict.fromkeys(study.detectors))
    return [Discriminator(*key, tuple(sets), tuple(detectors)) for key, (sets, detectors) in found.items()]


def list_parents(config: Config) -> list[Discriminator]:
    """The discriminators that are fine-tuned or that samplers follow, and that are not evaluated themselves."""
    found = {each.path: each for each in list_discriminators(config)}
    evaluated, waiting = set(found), list(found.values())
    for each in waiting:  # which grows: parents have parents
        for network, variant in parents_of(config, each.variant, each.network):
            parent = Discriminator(each.id_dataset, network, variant, each.seed)
            if parent.path not in found:
                found[parent.path] = parent
                waiting.append(parent)
    return [each for path, each in found.items() if path not in evaluated]


def parents_of(config: Config, variant: str, network: str) -> list[tuple[str, str]]:
    """Network and variant of what a variant of a network is made from: its base and its teacher."""
    own = config.variants.get(variant)
    if own is None:
        return []
    fine_tuned = [(network, own.base)] if own.base else []
    return fine_tuned + ([split_teacher(own)] if own.teacher else [])


def list_splits(config: Config, target: Target | None = None) -> list[str]:
    """Where the prepared splits of the studies are, suffixes aside: data/<size>/<data set>/<split>.

    Those of all studies, or of those that a target shows.
    """
    found: dict[str, None] = {}
    for each in list_discriminators(config, target):
        folder = f"data/{size_of(config.datasets, each.id_dataset)}"
        found |= dict.fromkeys(f"{folder}/{each.id_dataset}/{split}" for split in ("train", "test"))
        found |= dict.fromkeys(f"{folder}/{name}/test" for name in each.ood_datasets)
    return list(found)


def list_test_images(config: Config, target: Target) -> list[str]:
    """The prepared test images that a target needs: those of the ID data sets and OOD sets that it shows."""
    splits = list_splits(config, target) if target.images else []
    return [f"{split}.npy" for split in splits if split.endswith("/test")]


def find_studies(config: Config, target: Target) -> list[Study]:
    """The studies that a target shows, each once."""
    found: list[Study] = []
    for study in config.studies:
        groups = study.groups if target.by_group else {}
        shown = replace(study, targets=(), groups=groups, controls=study.controls if target.over_controls else {})
        if (target.whole_run or set(target.named_by) & set(study.targets)) and shown not in found:
            found.append(shown)
    return found


def planned_targets(config: Config) -> list[Target]:
    """The targets of a run: those that its studies name, and those that show every study."""
    return [target for target in TARGETS.values() if find_studies(config, target)]


def select_studies(config: Config, target: Target) -> Selection:
    """What a target shows of a configuration.

    An ID data set is called by its title, an OOD set from a source titled T is T(r) or T(c).
    """
    studies = find_studies(config, target)
    seeds = config.seeds[:1] if target.first_seed else config.seeds
    titles = {name: config.datasets[name].title for study in studies for name in study.id_datasets}
    for name in dict.fromkeys(name for study in studies for name in study.ood_datasets):
        source, _ = ood_parts(name, config.datasets)
        kind = name.removeprefix(f"{source}-")[0]
        titles[name] = f"{config.datasets[source].title or source}({kind})"
    shown = dict.fromkeys(name for study in studies for name in study.variants)
    variants = {name: describe_variant(config.variants[name]) for name in shown if name in config.variants}
    return Selection(tuple(studies), seeds, titles, variants)


def select_all(config: Config) -> Selection:
    """What a run's own page shows: every study."""
    return select_studies(config, Target("", "", "", "", whole_run=True))


def describe_variant(variant: Variant) -> dict[str, str]:
    """Method of a variant, its teacher, and its base unless that is the one its method takes by itself."""
    base = "" if variant.base == METHODS[variant.method].base else variant.base
    stated = {"teacher": variant.teacher, "base": base}
    return {"method": variant.method} | {name: value for name, value in stated.items() if value}


def split_teacher(variant: Variant) -> tuple[str, str]:
    """Network and variant of a variant's teacher, stated as `network` or as `network/variant`."""
    network, _, teacher = variant.teacher.partition("/")
    return network, teacher or STANDARD


def find_method(config: Config, variant: str) -> str:
    """The method that makes a variant."""
    return STANDARD if variant == STANDARD else config.variants[variant].method


def rule_of(config: Config, variant: str, network: str) -> str:
    """The rule that makes a variant of a network."""
    if variant == STANDARD:
        return "adopt" if config.networks[network].checkpoint else "pretrain"
    if not config.variants[variant].base:
        return "retrain"
    return "transfer" if config.variants[variant].teacher else "finetune"


def resolve_recipe(config: Config, variant: str, id_dataset: str) -> Recipe:
    """How a variant is made on an ID data set.

    Differences are put over the configuration's settings in turn: those for this ID data set, the variant's own, and
    the variant's for this ID data set. Raises ValueError naming a difference that is no setting.
    """
    own = Variant(STANDARD) if variant == STANDARD else config.variants[variant]
    row = METHODS[own.method]
    length = "finetuning" if own.base else "pretraining"
    layers = {
        f"per_id_dataset.{id_dataset}": config.per_id_dataset.get(id_dataset, {}),
        f"variants.{variant}": own.differences,
        f"variants.{variant}.per_id_dataset.{id_dataset}": own.per_id_dataset.get(id_dataset, {}),
    }
    dataset = config.datasets.get(id_dataset)
    return Recipe(
        own.method,
        put_over(config.methods.get(row.section, row.settings()), layers, row.section),
        put_over(getattr(config, length), layers, length),
        getattr(dataset, "augmentation", Augmentation(1)),
    )


def put_over(base: T, layers: Mapping[str, Mapping[str, Json]], section: str) -> T:
    """Settings with the differences of a section put over them, layer by layer; an error names the layer."""
    for where, stated in layers.items():
        if section in stated:
            base = read_settings(type(base), merge(asdict(base), stated[section]), f"{where}.{section}")
    return base


def differences_from(default: object, value: object) -> Json:
    """Return the settings of an object that differ from those of another of its class, as nested mappings."""
    if not is_dataclass(value):
        return value
    pairs = ((each.name, getattr(default, each.name), getattr(value, each.name)) for each in fields(value))
    return {name: differences_from(old, new) for name, old, new in pairs if old != new}
