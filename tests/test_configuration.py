"""Configurations: what is refused and how, how presets merge, and that the schema names what there is."""

from copy import deepcopy
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from fig import configuration
from fig.configuration import SCHEMA, ConfigurationError, complete, discriminators, settings_of_variant
from fig.data.readers import READERS
from fig.detectors import DETECTORS
from fig.evaluation import EvaluationSettings
from fig.methods.gaussian import Gaussian
from fig.methods.implicit_generator import ImplicitGenerator
from fig.methods.table import METHODS
from fig.networks import NETWORKS
from fig.runtime.cluster import Resources
from fig.sampler import SamplerSettings
from fig.settings import settings_of
from fig.training import TrainingSettings

ROOT = Path(__file__).parents[1]
DEMO = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())


def changed(path: str, value: object) -> dict:
    """The demo's configuration with one entry put in its place."""
    config = deepcopy(DEMO)
    *outer, last = path.split("/")
    place = config
    for name in outer:
        place = place[int(name) if name.isdigit() else name]
    place[last] = value
    return config


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (
            "finetuning/lerning_rate",
            0.1,
            "finetuning.lerning_rate is not a key of the configuration: allowed are epochs",
        ),
        ("seed", 1, "seed is not a key of the configuration: allowed are run, preset, seeds"),
        ("finetuning/batch_size", "big", "finetuning.batch_size is 'big': it must be of type integer"),
        ("fig", {"K": 2}, "fig.K: 2 is greater than the maximum of 1"),
        ("networks/resnet19", {}, "networks.resnet19: no network is called 'resnet19'; allowed are resnet18, vgg19"),
        (
            "studies/0/networks",
            ["resnet19"],
            "studies[0]: no network is called 'resnet19'; allowed are resnet18, vgg19",
        ),
        ("studies/0/id_dataset", "mnist", "studies[0]: no ID data set is called 'mnist'; allowed are digits, svhn"),
        ("studies/0/ood_datasets", ["photos"], "studies[0]: no OOD set is called 'photos': a name is <source>-c or"),
        ("studies/0/variants", ["figg"], "studies[0]: no variant is called 'figg'; allowed are standard, fig, fig-k0"),
        ("variants/fig/method", "figg", "variants.fig.method is 'figg': it must be one of fig, gaussian"),
        ("variants/fig/teacher", "vgg20", "variants.fig: no teacher is called 'vgg20'; allowed are resnet18, vgg19"),
        ("variants/standard", {"method": "fig"}, "variants.standard cannot be defined"),
        ("detectors", {"odinn": {}}, "detectors.odinn: no detector is called 'odinn'; allowed are baseline, odin"),
        ("detectors", {"odin": {"steps": [0]}}, "detectors.odin.steps is not a key of the configuration"),
        ("preset", "papers", "preset is 'papers': it must be one of authors, paper"),
    ],
)
def test_what_is_wrong_is_refused_in_one_sentence(path: str, value: object, sentence: str):
    with pytest.raises(ConfigurationError) as refusal:
        complete(changed(path, value))
    assert str(refusal.value).startswith(sentence) and "\n" not in str(refusal.value)


def test_a_missing_key_is_named():
    with pytest.raises(ConfigurationError, match="studies is missing from the configuration"):
        complete({key: value for key, value in DEMO.items() if key != "studies"})


def test_presets_are_the_papers_readings():
    paper, authors = (complete(changed("preset", name)) for name in ("paper", "authors"))
    sampler = settings_of(SamplerSettings, paper["fig"]["sampler"], "fig.sampler")
    assert settings_of(EvaluationSettings, paper["evaluation"], "evaluation") == EvaluationSettings()
    assert sampler == SamplerSettings()  # the code's defaults are the paper's
    assert settings_of(ImplicitGenerator, paper["fig"], "fig") == ImplicitGenerator()
    assert (paper["fig"]["K"], paper["finetuning"]["learning_rate"]) == (0.1, 0.001)
    assert (authors["fig"]["K"], authors["finetuning"]["learning_rate"]) == (0.01, 0.0001)
    theirs = authors["fig"]["sampler"]
    assert (theirs["noise"], theirs["stop"], theirs["max_steps"]) == ("deviation", "batch", 1000)
    assert (authors["scaling"], theirs["step_size"]) == ("standardised", 0.1)


def test_a_variant_states_only_what_differs():
    config = complete(changed("variants/fig-quick", {"method": "fig", "fig": {"sampler": {"max_steps": 20}}}))
    own, plain = (settings_of_variant(config, name) for name in ("fig-quick", "fig"))
    assert own["settings"]["sampler"].pop("max_steps") == 20 and plain["settings"]["sampler"].pop("max_steps") == 100
    assert own == plain


def test_a_length_in_iterations_takes_the_place_of_epochs():
    config = complete(changed("pretraining", {"iterations": 5}))
    assert config["pretraining"]["iterations"] == 5 and "epochs" not in config["pretraining"]


@pytest.mark.parametrize(
    "path", [*sorted(ROOT.glob("config/*.yaml")), ROOT / "tests" / "tiny.yaml"], ids=lambda p: p.stem
)
def test_every_configuration_of_the_project_is_complete_and_buildable(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stated = yaml.safe_load(path.read_text())
    monkeypatch.chdir(tmp_path)
    for part in (part for entry in stated.get("datasets", {}).values() for part in entry.values()):
        if isinstance(part, dict):  # the files that a person puts there
            Path(part["path"]).parent.mkdir(parents=True, exist_ok=True)
            Path(part["path"]).touch()
    config = complete(stated)
    assert list(discriminators(config))
    for name in ["standard", *config["variants"]]:
        settings = settings_of_variant(config, name)
        settings_of(METHODS[settings["method"]], settings["settings"], name)
        settings_of(TrainingSettings, settings["training"], name)


def test_studies_that_share_a_discriminator_evaluate_it_once_on_the_sets_of_both():
    config = complete(changed("studies", [*DEMO["studies"], DEMO["studies"][0] | {"ood_datasets": ["coco-c"]}]))
    found = [d for d in discriminators(config) if d.path == "digits/resnet18/fig/0"]
    assert [d.ood_datasets for d in found] == [("photos-r-antialias", "photos-c", "coco-c")]


def test_the_schema_names_exactly_what_there_is():
    schema = yaml.safe_load(SCHEMA.read_text())
    definitions = schema["$defs"]

    def keys(entry: dict) -> set[str]:
        return set(entry["properties"])

    def names(cls: type, but: str = "") -> set[str]:
        return {field.name for field in fields(cls)} - {but}

    assert set(configuration.NETWORKS) == set(NETWORKS)
    assert set(definitions["part"]["properties"]["reader"]["enum"]) == set(READERS)
    assert tuple(DETECTORS) == configuration.DETECTORS
    settings = {field.name for each in DETECTORS.values() for field in fields(each)}
    assert keys(definitions["detector"]) == settings | {"detector", "arguments"}
    assert {*definitions["variant"]["properties"]["method"]["enum"], "standard"} == set(METHODS)
    assert keys(definitions["training"]) == names(TrainingSettings)
    assert keys(definitions["fig"]) == names(ImplicitGenerator, but="teacher")
    assert keys(definitions["fig"]["properties"]["sampler"]) == names(SamplerSettings)
    assert keys(schema["properties"]["evaluation"]) == names(EvaluationSettings)
    assert keys(definitions["gaussian"]) == names(Gaussian)
    assert keys(definitions["resources"]) == names(Resources)
    presets = {path.stem for path in (ROOT / "config" / "presets").glob("*.yaml")}
    assert set(schema["properties"]["preset"]["enum"]) == presets
