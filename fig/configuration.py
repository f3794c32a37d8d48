"""What a configuration says: presets and differences merged, checked in one sentence, and resolved for each variant.

Read at every parse of the Snakefile, so torch is not imported; the names that are allowed are the schema's.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from fig.data.catalogue import datasets_of, entries, id_names, ood_parts
from fig.methods.table import FINETUNING, METHODS, SECTIONS

ROOT = Path(__file__).parents[1]
PRESETS = ROOT / "config" / "presets"
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
NETWORKS = ("resnet18", "vgg19", "shufflenetv2", "densenet100")  # built in; fig.networks has them
DETECTORS = ("baseline", "odin", "mahalanobis", "residual_flow", "gram", "deconf")  # fig.detectors has them
NEEDED_METHOD = {"deconf": "deconf"}  # by detectors that look at what one method alone adds to a network
COMPARING = ("table2", "table3")  # the targets whose methods are compared in pairs, and ranked
TARGETS = (*(f"table{number}" for number in range(1, 6)), *(f"fig{number}" for number in range(1, 6)), "resampling")
GAINING = ("fig2", "resampling")  # the targets that show gains over standard
STANDARD = "standard"  # the variant that pretraining makes; the others start from it

Config = dict[str, Any]


class ConfigurationError(ValueError):
    """A configuration that cannot be run; the message names the key and what is allowed."""


def merged(base: Mapping[str, Any], *differences: Mapping[str, Any]) -> Config:
    """`base` with the differences put over it in turn; dictionaries are merged, anything else is replaced."""
    result = deepcopy(dict(base))
    for difference in differences:
        for name, value in difference.items():
            both = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
            result[name] = merged(result[name], value) if both else deepcopy(value)
    return result


def complete(stated: Mapping[str, Any]) -> Config:
    """The whole configuration behind what a file states: the paper's preset, the named one, then the file's own."""
    preset = stated.get("preset", "paper")
    available = sorted(path.stem for path in PRESETS.glob("*.yaml"))
    if preset not in available:
        raise ConfigurationError(f"preset is {preset!r}: it must be one of {', '.join(available)}")
    layers = [yaml.safe_load((PRESETS / f"{name}.yaml").read_text()) for name in dict.fromkeys(["paper", preset])]
    rest = {"preset": preset, "variants": {}, "resources": {}, "data": {}}
    config = merged(*layers, rest, stated)
    config["datasets"] = with_own(entries(), stated.get("datasets", {}))
    for section in ("pretraining", "finetuning"):
        config[section] = of_one_length(config[section], stated.get(section, {}))
    check(config, stated.get("datasets", {}))
    return config


def read(configfiles: Iterable[Path], stated: Iterable[str] = ()) -> Config:
    """The whole configuration behind files, of which later ones go before earlier ones; `key=value` goes before all."""
    pairs = (text.partition("=") for text in stated)
    own = {key: yaml.safe_load(value) for key, _, value in pairs}
    return complete(merged({}, *(yaml.safe_load(path.read_text()) for path in configfiles), own))


def of_one_length(training: Any, stated: Any) -> Any:
    """Settings of a training without the epochs where iterations were stated, and the other way round."""
    if not isinstance(training, Mapping) or not isinstance(stated, Mapping):
        return training  # of a wrong type: the check says so
    other = {"iterations": "epochs", "epochs": "iterations"}
    dropped = {other[name] for name in other if name in stated} - set(stated)
    return {name: value for name, value in training.items() if name not in dropped}


def with_own(catalogue: Mapping[str, Any], own: Any) -> Config:
    """The catalogue's entries with one's own put over them, key by key: one's own `train` replaces theirs whole."""
    if not isinstance(own, Mapping):
        return {**catalogue, "datasets": own}  # of a wrong type: the check says so
    return {**catalogue, **{n: {**catalogue.get(n, {}), **e} if isinstance(e, Mapping) else e for n, e in own.items()}}


def check(config: Config, own: Collection[str] = ()) -> None:
    """Raise ConfigurationError in one sentence for the first thing that is wrong; `own` are the user's data sets."""
    schema = with_names(yaml.safe_load(SCHEMA.read_text()))
    for error in sorted(Draft202012Validator(schema).iter_errors(config), key=lambda error: list(map(str, error.path))):
        raise ConfigurationError(sentence(error))
    for name in own:
        check_own_dataset(name, config["datasets"][name])
    for name, network in config["networks"].items():
        check_network(name, network)
    for name, detector in config["detectors"].items():
        which = detector.get("detector", name)
        if "." not in which:  # a class of pytorch-ood has a dot in its name
            allowed_one("detector", which, DETECTORS, f"detectors.{name}")
    check_id_datasets(config, config, "per_id_dataset")
    for dataset in config.get("chains", {}).get("wanted", {}):
        allowed_one("ID data set", dataset, id_names(datasets_of(config["datasets"])), "chains.wanted")
    for number, study in enumerate(config["studies"]):
        check_study(config, study, f"studies[{number}]")
    for name, variant in config["variants"].items():
        if name == STANDARD:
            raise ConfigurationError("variants.standard cannot be defined: standard is what pretraining makes")
        check_variant(config, name, variant)


def with_names(schema: Config) -> Config:
    """The schema with the targets, the methods, and a section for each method's settings, wherever they may be stated.

    The settings of a method that the schema does not spell out may be any: its training checks them.
    """
    definitions = schema["$defs"]
    definitions["variant"]["properties"]["method"] = {"enum": list(METHODS)}
    definitions["study"]["properties"]["targets"]["items"] = {"enum": list(TARGETS)}
    for section in {SECTIONS.get(method, method): None for method in METHODS}:
        stated = {"$ref": f"#/$defs/{section}"} if section in definitions else {"type": "object"}
        for each in (schema, definitions["variant"], definitions["difference"]):
            each["properties"][section] = stated
    return schema


def sentence(error: ValidationError) -> str:
    """A schema's complaint as one sentence that names the key and what is allowed."""
    where = ".".join(map(str, error.absolute_path))
    schema = error.schema
    if error.validator == "additionalProperties":
        unknown = sorted(set(error.instance) - set(schema["properties"]))
        key = f"{where}.{unknown[0]}" if where else unknown[0]
        return f"{key} is not a key of the configuration: allowed are {', '.join(schema['properties'])}"
    if error.validator == "required":
        missing = sorted(set(schema["required"]) - set(error.instance))
        return f"{where + '.' if where else ''}{missing[0]} is missing from the configuration"
    if error.validator == "enum":
        return f"{where} is {error.instance!r}: it must be one of {', '.join(map(str, error.validator_value))}"
    if error.validator == "type":
        return f"{where} is {error.instance!r}: it must be of type {error.validator_value}"
    return f"{where}: {error.message}"


def allowed_one(what: str, name: str | None, allowed: Any, where: str) -> None:
    """Raise ConfigurationError unless `name` is one of the allowed, or None."""
    if name is not None and name not in allowed:
        raise ConfigurationError(f"{where}: no {what} is called {name!r}; allowed are {', '.join(allowed)}")


def check_own_dataset(name: str, entry: Mapping[str, Any]) -> None:
    """Raise ConfigurationError where one's own data set lacks something, or names a path where nothing is."""
    where = f"datasets.{name}"
    if "train" in entry:
        if "size" not in entry:
            raise ConfigurationError(f"{where}.size is missing: pixels a side, as networks see the images")
        if not entry.get("test") and not entry.get("test_share"):
            raise ConfigurationError(f"{where} has neither test images nor a test_share to be drawn from train")
    elif "images" not in entry:
        raise ConfigurationError(f"{where} has neither train (an ID data set) nor images (a source of OOD sets)")
    for part in ("train", "test", "images"):
        for key in ("path", "labels"):
            path = entry.get(part, {}).get(key)
            if path and not Path(path).exists():
                raise ConfigurationError(f"{where}.{part}.{key}: there is no {path}")


def check_network(name: str, network: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for a network that is neither built in nor made by a factory."""
    if "factory" not in network and name not in NETWORKS:
        allowed = f"allowed are {', '.join(NETWORKS)}, or one of your own with a factory"
        raise ConfigurationError(f"networks.{name}: no network is called {name!r}; {allowed}")
    if "checkpoint" in network and not Path(network["checkpoint"]).exists():
        raise ConfigurationError(f"networks.{name}.checkpoint: there is no {network['checkpoint']}")


def check_variant(config: Config, name: str, variant: Mapping[str, Any]) -> None:
    """Raise ConfigurationError where a variant names something that there is not."""
    where = f"variants.{name}"
    if "teacher" in variant:
        if variant["method"] != "fig":
            raise ConfigurationError(f"{where}: the method {variant['method']} follows no teacher, only fig does")
        network, teacher = teacher_of(variant)
        allowed_one("teacher", network, config["networks"], where)
        allowed_one("teacher's variant", teacher, [STANDARD, *config["variants"]], where)
    check_id_datasets(config, variant, f"{where}.per_id_dataset")


def check_id_datasets(config: Config, stated: Mapping[str, Any], where: str) -> None:
    """Raise ConfigurationError where differences are stated for an ID data set that there is not."""
    for dataset in stated.get("per_id_dataset", {}):
        allowed_one("ID data set", dataset, id_names(datasets_of(config["datasets"])), where)


def teacher_of(variant: Mapping[str, Any]) -> tuple[str, str]:
    """Network and variant of a variant's teacher, stated as `network` or as `network/variant`."""
    network, _, teacher = variant["teacher"].partition("/")
    return network, teacher or STANDARD


def check_study(config: Config, study: Mapping[str, Any], where: str) -> None:
    """Raise ConfigurationError where a study names something that there is not."""
    datasets = datasets_of(config["datasets"])
    for name in study["id_datasets"]:
        allowed_one("ID data set", name, id_names(datasets), where)
    for name in study["ood_datasets"]:
        try:
            ood_parts(name, datasets)
        except ValueError as error:
            raise ConfigurationError(f"{where}: {error}") from None
    for name in study["networks"]:
        allowed_one("network", name, config["networks"], where)
    for name in study["variants"]:
        allowed_one("variant", name, [STANDARD, *config["variants"]], where)
    for name in study.get("detectors", ()):
        allowed_one("detector", name, config["detectors"], where)
    for target in GAINING:
        if target in study.get("targets", ()) and STANDARD not in study["variants"]:
            raise ConfigurationError(f"{where}: {target} shows gains over {STANDARD}: name it in the study's variants")
    for variant, detector in product(study["variants"], detectors_of(config, study)):
        needed = NEEDED_METHOD.get(config["detectors"][detector].get("detector", detector))
        if needed and method_of(config, variant) != needed:
            what = f"detector {detector} needs variants of the method {needed}, {variant} is none"
            raise ConfigurationError(f"{where}: {what}: name the study's detectors")


def detectors_of(config: Config, study: Mapping[str, Any]) -> list[str]:
    """The detectors of a study: those that it names, or all of the configuration."""
    return study.get("detectors", list(config["detectors"]))


@dataclass(frozen=True)
class Discriminator:
    """One discriminator of a run, by its four names, the OOD sets it is evaluated on and the detectors that do it."""

    id_dataset: str
    network: str
    variant: str
    seed: int
    ood_datasets: tuple[str, ...]
    detectors: tuple[str, ...]

    @property
    def path(self) -> str:
        """Its folder below `results/<run>/discriminators/`."""
        return f"{self.id_dataset}/{self.network}/{self.variant}/{self.seed}"


def studies_for(config: Config, target: str) -> list[Config]:
    """The studies that a table or figure of the paper shows, each with its detectors."""
    named = [study for study in config["studies"] if target in study.get("targets", ())]
    return [study | {"detectors": detectors_of(config, study)} for study in named]


def shown(config: Config, *targets: str) -> dict[str, Any]:
    """What a table or figure shows: studies of the targets, the seeds, and the paper's names of the data sets by ours.

    An ID data set is called by its title, an OOD set from a source titled T is T(r) or T(c).
    """
    studies: list[Config] = []
    for target in targets:
        named = [{key: study[key] for key in study if key != "targets"} for study in studies_for(config, target)]
        studies += [study for study in named if study not in studies]
    datasets = datasets_of(config["datasets"])
    titles = {name: datasets[name].title for study in studies for name in study["id_datasets"]}
    for name in dict.fromkeys(name for study in studies for name in study["ood_datasets"]):
        source, _ = ood_parts(name, datasets)
        kind = name.removeprefix(f"{source}-")[0]
        titles[name] = f"{datasets[source].title or source}({kind})"
    return {"studies": studies, "seeds": config["seeds"], "titles": titles}


def discriminators(config: Config, target: str = "") -> Iterator[Discriminator]:
    """Every discriminator that the studies ask for, or those for one target alone.

    One in two studies has the OOD sets and detectors of both.
    """
    found: dict[tuple[str, str, str, int], tuple[dict[str, None], dict[str, None]]] = {}
    for study in studies_for(config, target) if target else config["studies"]:
        for names in product(study["id_datasets"], study["networks"], study["variants"], config["seeds"]):
            ood, detectors = found.setdefault(names, ({}, {}))
            ood.update(dict.fromkeys(study["ood_datasets"]))
            detectors.update(dict.fromkeys(detectors_of(config, study)))
    for names, (ood, detectors) in found.items():
        yield Discriminator(*names, tuple(ood), tuple(detectors))


def teachers(config: Config) -> Iterator[Discriminator]:
    """The discriminators that samplers follow and that are not evaluated themselves."""
    evaluated = list(discriminators(config))
    paths = {each.path for each in evaluated}
    for each in evaluated:
        variant = config["variants"].get(each.variant, {})
        if "teacher" in variant:
            found = Discriminator(each.id_dataset, *teacher_of(variant), each.seed, (), ())
            if found.path not in paths:
                paths.add(found.path)
                yield found


def splits(config: Config, target: str = "") -> list[str]:
    """Where the prepared splits that the studies ask for are, suffixes aside: data/<size>/<data set>/<split>.

    Those of all studies, or of those for one target alone.
    """
    datasets = datasets_of(config["datasets"])
    found: dict[str, None] = {}
    for each in discriminators(config, target):
        folder = f"data/{datasets[each.id_dataset].size}"
        found |= dict.fromkeys(f"{folder}/{each.id_dataset}/{split}" for split in ("train", "test"))
        found |= dict.fromkeys(f"{folder}/{name}/test" for name in each.ood_datasets)
    return list(found)


def method_of(config: Config, variant: str) -> str:
    """The method that makes a variant."""
    return STANDARD if variant == STANDARD else config["variants"][variant]["method"]


def of_id_dataset(stated: Mapping[str, Any], id_dataset: str) -> list[Mapping[str, Any]]:
    """The difference that is stated for an ID data set, if there is one."""
    return [each for name, each in stated.get("per_id_dataset", {}).items() if name == id_dataset]


def settings_of_variant(config: Config, variant: str, id_dataset: str) -> Config:
    """The method of a variant, its settings and its training's on an ID data set.

    Differences are put over the configuration's settings in turn: those for this ID data set, the variant's own, and
    the variant's for this ID data set.
    """
    own = {} if variant == STANDARD else config["variants"][variant]
    method = method_of(config, variant)
    section = SECTIONS.get(method, method)
    length = "finetuning" if method in FINETUNING else "pretraining"
    training, settings = config[length], config.get(section, {})
    for stated in (*of_id_dataset(config, id_dataset), own, *of_id_dataset(own, id_dataset)):
        training = of_one_length(merged(training, stated.get(length, {})), stated.get(length, {}))
        settings = merged(settings, stated.get(section, {}))
    return {"method": method, "training": training, "settings": settings}
