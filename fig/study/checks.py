"""Whether the names in a configuration are names of something, and its differences are settings."""

import os
import re
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import product
from pathlib import Path

from fig.data.catalogue import IdDataset, OodSource, Part, downloads, id_names, ood_parts, paths_of
from fig.detectors.table import detector_row, read_detector
from fig.methods.table import METHODS
from fig.networks.table import NETWORKS
from fig.settings import Json, suggest
from fig.study.config import LONGEST_NAME, STANDARD, Config, ConfigError, Variant
from fig.study.discriminators import (
    find_method,
    list_discriminators,
    list_parents,
    parents_of,
    resolve_recipe,
    split_teacher,
)
from fig.study.selection import Study
from fig.study.targets import TARGETS

NAME = re.compile("[a-z0-9][a-z0-9._-]*")  # of what becomes a folder
MOST = 20_000  # discriminators of a study


def check_config(config: Config) -> None:
    """Raise ConfigError, in one sentence, for the first thing that is wrong."""
    check_count(config)
    for block, names in {
        "networks": config.networks,
        "variants": config.variants,
        "detectors": config.detectors,
    }.items():
        check_names(names, block)
    check_names(config.own_datasets, "datasets")
    check_unique(config.seeds, "seeds")
    for name in config.own_datasets:
        check_own_dataset(name, config.datasets[name])
    for name, network in config.networks.items():
        if not network.factory:
            check_known(name, NETWORKS, "network", f"networks.{name}", " A network of your own needs a factory.")
    for name, stated in config.detectors.items():
        read_detector(name, stated)
    check_id_datasets(config, config.per_id_dataset, "per_id_dataset")
    check_id_datasets(config, config.chains.wanted, "chains.wanted")
    for name, variant in config.variants.items():
        check_variant(config, name, variant)
    check_parents(config)
    for number, study in enumerate(config.studies):
        check_study(config, study, f"studies[{number}]")
    check_checkpoints(config)
    check_differences(config)


def check_count(config: Config) -> None:
    """Raise ConfigError for more discriminators than can be listed, before they are."""
    each = (len(s.id_datasets) * len(s.networks) * len(s.variants) * len(config.seeds) for s in config.studies)
    if (number := sum(each)) > MOST:
        raise ConfigError(
            f"studies and seeds name {number:,} discriminators: divide them into runs of at most {MOST:,}"
        )


def check_known(name: str, known: Iterable[str], what: str, where: str, more: str = "") -> None:
    """Raise ConfigError unless a name is known."""
    if name not in (allowed := list(known)):
        raise ConfigError(f"{where}: unknown {what} {name!r}{suggest(name, allowed)}.{more}".removesuffix("."))


def check_names(names: Iterable[str], block: str) -> None:
    """Raise ConfigError for a name that cannot be that of a folder."""
    for name in names:
        if not NAME.fullmatch(str(name)):
            raise ConfigError(f"{block}.{name}: a name has small letters, digits, dots, dashes and underscores alone")
        if len(name) > LONGEST_NAME:
            raise ConfigError(f"{block}.{name}: a name has at most {LONGEST_NAME} characters")


def check_unique(values: Iterable[object], where: str) -> None:
    """Raise ConfigError where something is named twice."""
    seen = set()
    for value in values:
        if value in seen:
            raise ConfigError(f"{where} names {value!r} twice: name it once")
        seen.add(value)


def check_path(path: str, where: str) -> None:
    """Raise ConfigError where a path is stated that Snakemake would read otherwise, or nothing is there."""
    if any(each in "{}" or not each.isprintable() for each in path):
        raise ConfigError(f"{where} is {path!r}: it must have no braces and no line breaks: rename it")
    if path and not os.path.exists(path):  # noqa: PTH110  # Path's own raises OSError for a name that is too long
        raise ConfigError(f"{where}: there is no {path}")


def check_checkpoints(config: Config) -> None:
    """Raise ConfigError if the checkpoint of a network in use, by a teacher or base too, is missing."""
    for each in (*list_discriminators(config), *list_parents(config)):
        weights = config.networks[each.network].weights(each.id_dataset, each.seed)
        check_path(weights, f"networks.{each.network}.checkpoint")


def check_own_dataset(name: str, entry: IdDataset | OodSource) -> None:
    """Raise ConfigError if a user's data set lacks something, or names a path that does not exist."""
    where = f"datasets.{name}"
    parts = {"images": entry.images} if isinstance(entry, OodSource) else {"train": entry.train, "test": entry.test}
    if isinstance(entry, IdDataset) and not entry.test and not entry.test_share:
        raise ConfigError(f"{where} has neither test images nor a test_share to be drawn from train")
    for key, part in parts.items():
        if isinstance(part, Part):
            check_path(part.path, f"{where}.{key}.path")
            check_path(part.labels, f"{where}.{key}.labels")
            check_folder(part, f"{where}.{key}")
    names = [file.on_disk for _, file in downloads({name: entry})]
    for file in {file for file in names if names.count(file) > 1}:
        raise ConfigError(f"{where} downloads two files called {file}: give one another name")


def check_folder(part: Part, where: str) -> None:
    """Raise ConfigError where images would be looked for, and watched, in the folder of the runs."""
    paths = paths_of(part)
    if len(paths) > 1 and Path.cwd().is_relative_to(Path(paths[0]).resolve()):
        what = f"{paths[-1]} names images in {paths[0]}, which holds the runs too"
        raise ConfigError(f"{where}: {what}: move them into a folder of their own, and state it as path")


def check_id_datasets(config: Config, stated: Mapping[str, Json], where: str) -> None:
    """Raise ConfigError where something is stated for an unknown ID data set."""
    for dataset in stated:
        check_known(dataset, id_names(config.datasets), "ID data set", where)


def check_variant(config: Config, name: str, variant: Variant) -> None:
    """Raise ConfigError where a variant names something that is not there."""
    where = f"variants.{name}"
    if name == STANDARD:
        raise ConfigError("variants.standard cannot be defined: standard is what pretraining makes")
    if variant.teacher:
        if not METHODS[variant.method].follows_teacher:
            followers = ", ".join(name for name, row in METHODS.items() if row.follows_teacher)
            raise ConfigError(f"{where}: the method {variant.method} follows no teacher, only {followers} does")
        network, teacher = split_teacher(variant)
        check_known(network, config.networks, "teacher", where)
        check_known(teacher, [STANDARD, *config.variants], "variant of a teacher", where)
    if variant.base or METHODS[variant.method].base:
        check_known(variant.base, [STANDARD, *config.variants], "variant", f"{where}.base")
    if variant.base and METHODS[variant.method].only_head:
        raise ConfigError(f"{where}.base: {variant.method} is a head, and a base keeps its own: leave base out")
    check_id_datasets(config, variant.per_id_dataset, f"{where}.per_id_dataset")


def check_parents(config: Config) -> None:
    """Raise ConfigError where a variant is made, through its teachers and bases, from itself."""
    for name in config.variants:
        followed, last = [name], name
        while last in config.variants and config.variants[last].teacher:
            last = split_teacher(config.variants[last])[1]
            if last in followed:
                circle = " follows ".join([*followed, last])
                raise ConfigError(f"variants.{name}.teacher: {circle}, which never begins: name another teacher")
            followed.append(last)
    made_from = {name: [variant for _, variant in parents_of(config, name, "")] for name in config.variants}
    try:
        TopologicalSorter(made_from).prepare()
    except CycleError as error:
        first, *others = reversed(error.args[1])
        circle = " is made from ".join([first, *others])
        raise ConfigError(f"variants.{first}.base: {circle}, which never begins: name another base") from None


def check_study(config: Config, study: Study, where: str) -> None:
    """Raise ConfigError where a study names something that is not there."""
    known = {
        "id_datasets": ("ID data set", id_names(config.datasets)),
        "networks": ("network", config.networks),
        "variants": ("variant", [STANDARD, *config.variants]),
        "detectors": ("detector", config.detectors),
        "targets": ("target", [row.name for row in TARGETS.values() if not row.whole_run and not row.shows]),
    }
    for block, (what, allowed) in known.items():
        check_unique(getattr(study, block), f"{where}.{block}")
        for name in getattr(study, block):
            check_known(name, allowed, what, where)
    check_unique(study.ood_datasets, f"{where}.ood_datasets")
    for name in study.ood_datasets:
        try:
            ood_parts(name, config.datasets)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from None
    for group, names in study.groups.items():
        check_unique(names, f"{where}.groups.{group}")
        for name in names:
            check_known(name, study.ood_datasets, "OOD set of the study", f"{where}.groups.{group}")
    for variant, controls in study.controls.items():
        check_known(variant, study.variants, "variant of the study", f"{where}.controls")
        check_unique(controls, f"{where}.controls.{variant}")
        for name in controls:
            others = [each for each in study.variants if each != variant]
            check_known(name, others, "other variant of the study", f"{where}.controls.{variant}")
    for target in study.targets:
        if TARGETS[target].over_controls and not study.controls:
            raise ConfigError(f"{where}: {target} compares variants with their controls: state the study's controls")
        if TARGETS[target].by_group and not study.groups:
            raise ConfigError(f"{where}: {target} averages over groups of OOD sets: state the study's groups")
        if TARGETS[target].over_standard and STANDARD not in study.variants:
            raise ConfigError(f"{where}: {target} shows gains over {STANDARD}: name it in the study's variants")
    for variant, detector in product(study.variants, study.detectors):
        needed = detector_row(detector, config.detectors[detector]).method
        if needed and find_method(config, variant) != needed:
            what = f"detector {detector} needs variants of the method {needed}, {variant} is not one"
            raise ConfigError(f"{where}: {what}: name the study's detectors")


def check_differences(config: Config) -> None:
    """Raise ConfigError where a difference that a variant or an ID data set states is no setting."""
    for variant in (STANDARD, *config.variants):
        stated = {} if variant == STANDARD else config.variants[variant].per_id_dataset
        for id_dataset in dict.fromkeys(["", *config.per_id_dataset, *stated]):
            resolve_recipe(config, variant, id_dataset)
