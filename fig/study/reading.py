"""Read a configuration: merge defaults, preset, files and overrides, check them, and return typed settings.

Every parse of the Snakefile runs this, so it does not import torch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from importlib.resources import files
from math import isfinite
from pathlib import Path

import yaml

from fig.data.catalogue import datasets_of, entries
from fig.methods.table import METHODS, SECTIONS
from fig.settings import ChainsSettings, Json, join_keys, read_settings, suggest
from fig.study.checks import check_config
from fig.study.config import TRAININGS, Blocks, Config, ConfigError, Stated, Variant, merge
from fig.study.plain import parse_plain, read_plain
from fig.study.selection import Study

PRESETS = files("fig.study") / "presets"


def with_one_length(stated: Json) -> Json:
    """Merge statements about a training; a length in epochs replaces one in iterations, and vice versa."""
    other = {"iterations": "epochs", "epochs": "iterations"}
    if isinstance(stated, Mapping) and len(given := [name for name in other if name in stated]) == 1:
        return {**stated, other[given[0]]: 0}
    return stated


def with_one_lengths(stated: Mapping[str, Json]) -> Stated:
    """Return what a layer states, with one length for each training."""
    return {name: with_one_length(value) if name in TRAININGS else value for name, value in stated.items()}


def with_sets_of_groups(study: Json) -> Json:
    """Return what is stated of a study; unless it names OOD sets itself, they are those of its groups."""
    groups = study.get("groups") if isinstance(study, Mapping) else None
    if (
        not isinstance(groups, Mapping)
        or "ood_datasets" in study
        or not all(isinstance(g, list) for g in groups.values())
    ):
        return study
    return {**study, "ood_datasets": list(dict.fromkeys(name for group in groups.values() for name in group))}


def read_preset(name: object) -> Stated:
    """Return what a preset states; raises ConfigError for an unknown name."""
    available = sorted(["paper", *(path.name.removesuffix(".yaml") for path in PRESETS.iterdir())])
    if name not in available:
        raise ConfigError(f"preset is {name!r}: unknown preset{suggest(str(name), available)}")
    stated: Stated = {} if name == "paper" else yaml.safe_load((PRESETS / f"{name}.yaml").read_text())
    return stated


def read_yaml(path: Path) -> Stated:
    """Return what a file states; raises ConfigError if it is not a plain mapping of keys to values."""
    stated = read_plain(path)
    if not isinstance(stated, Mapping):
        what = "is empty" if stated is None else f"holds a {type(stated).__name__}"
        raise ConfigError(f"{path} {what}: a configuration is a mapping of keys to values, run: demo for example")
    if "__use_yte__" in stated:
        raise ConfigError(f"{path}: __use_yte__ lets Snakemake run code in a file: write the values themselves")
    return dict(stated)


def read_config(paths: Iterable[Path], overrides: Iterable[str] = ()) -> Config:
    """Return the configuration in files; later files take precedence, and `KEY=VALUE` overrides all of them."""
    pairs = (text.partition("=") for text in overrides)
    own = {key: parse_plain(value, f"--config {key}") for key, _, value in pairs}
    return complete_config(merge({}, *map(read_yaml, paths), own))


def complete_config(stated: Mapping[str, Json]) -> Config:
    """Complete and check what files state; raises ConfigError, with one sentence, if it is wrong."""
    try:
        check_finite(stated, "")
        wanted = {"chains": {"wanted": dict(ChainsSettings().wanted)}}  # a class that is stated adds to these
        layers = wanted, read_preset(stated.get("preset", "paper")), stated
        config = build_config(merge({}, *map(with_one_lengths, layers)))
        check_config(config)
    except ValueError as error:
        raise ConfigError(cut(str(error))) from None
    return config


def cut(text: str) -> str:
    """Return a sentence on one line of at most about 1,500 characters, even if it quotes a long text."""
    line = "".join(each if each.isprintable() else " " for each in text)
    return line if len(line) < 1500 else f"{line[:1000]} … {line[-400:]}"


def check_finite(value: Json, where: str) -> None:
    """Raise ConfigError for a number that is not finite, anywhere in the configuration."""
    if isinstance(value, float) and not isfinite(value):
        raise ConfigError(f"{where} is {value}: it must be a finite number")
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        check_finite(each, join_keys(where, [key]))


def build_config(stated: Stated) -> Config:
    """Return the configuration, with each block read by its type; raises ValueError naming what is wrong."""
    apart = ("datasets", "detectors", "variants", "per_id_dataset")
    own = {name: as_mapping(stated.pop(name, {}), name) for name in apart}
    methods = {name: read_settings(cls, stated.pop(name, {}), name) for name, cls in SECTIONS.items()}
    check_keys(stated, [each.name for each in fields(Blocks)], "", [*apart, *SECTIONS])
    if not own["detectors"]:
        raise ValueError("detectors is missing: name at least one, baseline: {} for example")
    if isinstance(studies := stated.get("studies"), list):
        stated["studies"] = list(map(with_sets_of_groups, studies))
    blocks = read_settings(Blocks, stated, "")
    catalogue = entries()
    merged = {
        name: {**catalogue.get(name, {}), **as_mapping(e, f"datasets.{name}")} for name, e in own["datasets"].items()
    }
    values = {each.name: getattr(blocks, each.name) for each in fields(Blocks)}
    values["studies"] = tuple(with_detectors(study, own["detectors"]) for study in blocks.studies)
    return Config(
        **values,
        methods=methods,
        datasets={**datasets_of(catalogue), **datasets_of(merged)},
        own_datasets=tuple(own["datasets"]),
        detectors={name: as_mapping(each, f"detectors.{name}") for name, each in own["detectors"].items()},
        variants={name: read_variant(name, each) for name, each in own["variants"].items()},
        per_id_dataset={
            name: read_differences(each, f"per_id_dataset.{name}") for name, each in own["per_id_dataset"].items()
        },
    )


def as_mapping(value: object, where: str) -> Stated:
    """Return a mapping of keys to values; raises ValueError for anything else."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} is {value!r}: it must be a mapping of keys to values")
    return dict(value)


def check_keys(stated: Mapping[str, Json], known: Iterable[str], where: str, more: Iterable[str] = ()) -> None:
    """Raise ValueError for an unknown key; the keys in `more` are valid too, but read elsewhere."""
    allowed = [*known, *more]
    for key in stated:
        if key not in allowed:
            raise ValueError(f"{where}{'.' if where else ''}{key}: unknown key{suggest(str(key), allowed)}")


def with_detectors(study: Study, detectors: Mapping[str, Json]) -> Study:
    """Return a study with its detectors: those that it names, or all."""
    return study if study.detectors else replace(study, detectors=tuple(detectors))


def read_differences(stated: object, where: str) -> Mapping[str, Stated]:
    """Return differences of settings by section; raises ValueError for an unknown section."""
    found = as_mapping(stated, where)
    check_keys(found, [*TRAININGS, *SECTIONS], where)
    return {name: with_one_lengths({name: as_mapping(v, f"{where}.{name}")})[name] for name, v in found.items()}


def read_variant(name: str, stated: object) -> Variant:
    """Read a variant; raises ValueError naming what is wrong in it."""
    where = f"variants.{name}"
    found = as_mapping(stated, where)
    check_keys(found, ["method", "teacher", "base", "per_id_dataset", *TRAININGS, *SECTIONS], where)
    method = found.pop("method", None)
    if method is None:
        raise ValueError(f"{where}.method is missing: name one of {', '.join(METHODS)}")
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"{where}.method: unknown method {method!r}{suggest(str(method), list(METHODS))}")
    names = {"teacher": found.pop("teacher", ""), "base": found.pop("base", METHODS[method].base)}
    for key, value in names.items():
        if not isinstance(value, str):
            raise ValueError(f"{where}.{key} is {value!r}: it must be a text")
    apart = as_mapping(found.pop("per_id_dataset", {}), f"{where}.per_id_dataset")
    return Variant(
        method,
        names["teacher"],
        names["base"],
        read_differences(found, where),
        {
            id_dataset: read_differences(each, f"{where}.per_id_dataset.{id_dataset}")
            for id_dataset, each in apart.items()
        },
    )
