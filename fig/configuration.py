"""What a configuration says: presets and differences merged, checked in one sentence, and resolved for each variant.

Read at every parse of the Snakefile, so torch is not imported; the names that are allowed are the schema's.
"""

from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from fig.data.catalogue import datasets_of, entries, id_names, ood_parts

ROOT = Path(__file__).parents[1]
PRESETS = ROOT / "config" / "presets"
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
NETWORKS = ("resnet18", "vgg19", "shufflenetv2", "densenet100")  # built in; fig.networks has them
DETECTORS = ("baseline", "odin", "mahalanobis", "residual_flow", "gram")  # fig.detectors has them
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
        if "iterations" in stated.get(section, {}):
            config[section].pop("epochs", None)
        elif "epochs" in stated.get(section, {}):
            config[section].pop("iterations", None)
    check(config, stated.get("datasets", {}))
    return config


def with_own(catalogue: Mapping[str, Any], own: Any) -> Config:
    """The catalogue's entries with one's own put over them, key by key: one's own `train` replaces theirs whole."""
    if not isinstance(own, Mapping):
        return {**catalogue, "datasets": own}  # of a wrong type: the check says so
    return {**catalogue, **{n: {**catalogue.get(n, {}), **e} if isinstance(e, Mapping) else e for n, e in own.items()}}


def check(config: Config, own: Collection[str] = ()) -> None:
    """Raise ConfigurationError in one sentence for the first thing that is wrong; `own` are the user's data sets."""
    schema = yaml.safe_load(SCHEMA.read_text())
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
    for number, study in enumerate(config["studies"]):
        check_study(config, study, f"studies[{number}]")
    for name, variant in config["variants"].items():
        if name == STANDARD:
            raise ConfigurationError("variants.standard cannot be defined: standard is what pretraining makes")
        allowed_one("teacher", variant.get("teacher"), config["networks"], f"variants.{name}")


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


def check_study(config: Config, study: Mapping[str, Any], where: str) -> None:
    """Raise ConfigurationError where a study names something that there is not."""
    datasets = datasets_of(config["datasets"])
    allowed_one("ID data set", study["id_dataset"], id_names(datasets), where)
    for name in study["ood_datasets"]:
        try:
            ood_parts(name, datasets)
        except ValueError as error:
            raise ConfigurationError(f"{where}: {error}") from None
    for name in study["networks"]:
        allowed_one("network", name, config["networks"], where)
    for name in study["variants"]:
        allowed_one("variant", name, [STANDARD, *config["variants"]], where)


@dataclass(frozen=True)
class Discriminator:
    """One discriminator of a run, by its four names, and the OOD sets it is evaluated on."""

    id_dataset: str
    network: str
    variant: str
    seed: int
    ood_datasets: tuple[str, ...]

    @property
    def path(self) -> str:
        """Its folder below `results/<run>/discriminators/`."""
        return f"{self.id_dataset}/{self.network}/{self.variant}/{self.seed}"


def discriminators(config: Config) -> Iterator[Discriminator]:
    """Every discriminator that the studies ask for; a name in two studies is evaluated on the OOD sets of both."""
    ood: dict[tuple[str, str, str, int], dict[str, None]] = {}
    for study in config["studies"]:
        for network in study["networks"]:
            for variant in study["variants"]:
                for seed in config["seeds"]:
                    names = (study["id_dataset"], network, variant, seed)
                    ood.setdefault(names, {}).update(dict.fromkeys(study["ood_datasets"]))
    for names, sets in ood.items():
        yield Discriminator(*names, tuple(sets))


def method_of(config: Config, variant: str) -> str:
    """The method that makes a variant."""
    return STANDARD if variant == STANDARD else config["variants"][variant]["method"]


def settings_of_variant(config: Config, variant: str) -> Config:
    """The training and the method's settings of a variant, its own differences put over the configuration's."""
    if variant == STANDARD:
        return {"method": STANDARD, "training": config["pretraining"], "settings": {}}
    own = config["variants"][variant]
    method = own["method"]
    sections = merged({name: config[name] for name in ("finetuning", method)}, {k: own[k] for k in own if k in config})
    return {"method": method, "training": sections["finetuning"], "settings": sections[method]}
