"""Configurations: what is refused and how, how presets merge, and that the schema names what there is."""

from copy import deepcopy
from dataclasses import fields
from itertools import product
from pathlib import Path

import pytest
import yaml

from fig import configuration
from fig.configuration import SCHEMA, ConfigurationError, complete, discriminators, settings_of_variant
from fig.data.readers import READERS
from fig.detectors import DETECTORS
from fig.evaluation import EvaluationSettings
from fig.methods.implicit_generator import ImplicitGenerator
from fig.methods.table import METHODS, SECTIONS, method_class
from fig.networks.table import NETWORKS
from fig.runtime.cluster import Resources
from fig.sampler import SamplerSettings
from fig.settings import settings_of
from fig.stages.chains import ChainsSettings
from fig.stages.embedding import EmbeddingSettings
from fig.stages.throughput import ThroughputSettings
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
        ("studies/0/id_datasets", ["mnist"], "studies[0]: no ID data set is called 'mnist'; allowed are digits, svhn"),
        ("chains", {"wanted": {"mnist": "3"}}, "chains.wanted: no ID data set is called 'mnist'; allowed are digits"),
        ("studies/0/ood_datasets", ["photos"], "studies[0]: no OOD set is called 'photos': a name is <source>-c or"),
        ("studies/0/variants", ["figg"], "studies[0]: no variant is called 'figg'; allowed are standard, fig, fig-k0"),
        ("variants/fig/method", "figg", "variants.fig.method is 'figg': it must be one of fig, gaussian"),
        ("variants/fig/teacher", "vgg20", "variants.fig: no teacher is called 'vgg20'; allowed are resnet18, vgg19"),
        (
            "variants/fig/teacher",
            "vgg19/figg",
            "variants.fig: no teacher's variant is called 'figg'; allowed are standard, fig",
        ),
        (
            "variants/gaussian/teacher",
            "vgg19",
            "variants.gaussian: the method gaussian follows no teacher, only fig does",
        ),
        (
            "variants/fig/per_id_dataset",
            {"cats": {}},
            "variants.fig.per_id_dataset: no ID data set is called 'cats'; allowed are digits",
        ),
        ("per_id_dataset", {"cats": {}}, "per_id_dataset: no ID data set is called 'cats'; allowed are digits"),
        ("variants/standard", {"method": "fig"}, "variants.standard cannot be defined"),
        (
            "detectors",
            {"deconf": {}},
            "studies[0]: detector deconf needs variants of the method deconf, standard is none: name the study's",
        ),
        ("studies/0/detectors", ["odin"], "studies[0]: no detector is called 'odin'; allowed are baseline"),
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
    own, plain = (settings_of_variant(config, name, "digits") for name in ("fig-quick", "fig"))
    assert own["settings"]["sampler"].pop("max_steps") == 20 and plain["settings"]["sampler"].pop("max_steps") == 100
    assert own == plain


def test_a_variant_may_differ_on_one_id_data_set():
    differences = {"svhn": {"jcl": {"beta": 1}, "pretraining": {"iterations": 9}}}
    config = complete(changed("variants/jcl", {"method": "jcl", "jcl": {"filters": 8}, "per_id_dataset": differences}))
    there, elsewhere = (settings_of_variant(config, "jcl", name) for name in ("svhn", "digits"))
    assert there["settings"] == config["jcl"] | {"filters": 8, "beta": 1}
    assert elsewhere["settings"] == config["jcl"] | {"filters": 8}
    assert there["training"]["iterations"] == 9 and "epochs" not in there["training"]
    assert elsewhere["training"] == config["pretraining"]


def test_settings_for_an_id_data_set_stand_between_the_configurations_and_a_variants():
    stated = DEMO | {
        "per_id_dataset": {"digits": {"pretraining": {"iterations": 7, "batch_size": 32}, "fig": {"K": 0.3}}}
    }
    stated["variants"] = {**DEMO["variants"], "fig-k0": {"method": "fig", "fig": {"K": 0}}}
    config = complete(stated)
    there, elsewhere = (settings_of_variant(config, "standard", name)["training"] for name in ("digits", "svhn"))
    assert (there["iterations"], there["batch_size"], "epochs" in there) == (7, 32, False)
    assert elsewhere == config["pretraining"]
    shares = [settings_of_variant(config, name, "digits")["settings"]["K"] for name in ("fig", "fig-k0")]
    assert shares == [0.3, 0]


def test_scratch_takes_the_settings_of_fig_and_the_training_of_standard():
    config = complete(changed("variants/fig-scratch", {"method": "scratch", "fig": {"K": 0.3}}))
    found = settings_of_variant(config, "fig-scratch", "digits")
    assert found["settings"] == config["fig"] | {"K": 0.3} and found["training"] == config["pretraining"]


def test_studies_name_their_detectors():
    first = DEMO["studies"][0] | {"detectors": ["odin"]}
    other = DEMO["studies"][0] | {"variants": ["fig"]}
    config = complete(changed("studies", [first, other]) | {"detectors": {"odin": {}, "baseline": {}}})
    found = {d.variant: d.detectors for d in discriminators(config)}
    assert found["fig"] == ("odin", "baseline") and found["standard"] == ("odin",)


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
    for id_dataset, name in product(config["studies"][0]["id_datasets"], ["standard", *config["variants"]]):
        settings = settings_of_variant(config, name, id_dataset)
        settings_of(method_class(settings["method"]), settings["settings"], name)
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
    for method in METHODS:  # those whose settings are spelled out for the checks before any job
        if (section := SECTIONS.get(method, method)) in definitions:
            assert keys(definitions[section]) == names(method_class(method), but="teacher")
    assert keys(definitions["training"]) == names(TrainingSettings)
    assert keys(definitions["fig"]["properties"]["sampler"]) == names(SamplerSettings)
    assert keys(schema["properties"]["evaluation"]) == names(EvaluationSettings)
    drawing = {"throughput": ThroughputSettings, "embedding": EmbeddingSettings, "chains": ChainsSettings}
    for section, cls in drawing.items():
        assert keys(schema["properties"][section]) == names(cls)
        assert settings_of(cls, complete(DEMO)[section], section)
    assert keys(definitions["resources"]) == names(Resources)
    presets = {path.stem for path in (ROOT / "config" / "presets").glob("*.yaml")}
    assert set(schema["properties"]["preset"]["enum"]) == presets
