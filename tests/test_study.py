"""What a configuration says: what is refused and how, how layers merge, what follows from it, and its reference."""

import json
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from fig.data.catalogue import Reader
from fig.data.readers import READERS
from fig.detectors.table import DETECTORS, build_detector
from fig.energy import NARROWING
from fig.methods.standard import Standard
from fig.methods.table import METHODS, FigSettings, build_method
from fig.networks.building import build
from fig.networks.table import NETWORKS
from fig.settings import EvaluationSettings, Finetuning, Pretraining, SamplerSettings, read_settings
from fig.study import (
    ConfigError,
    complete_config,
    list_discriminators,
    list_parents,
    read_config,
    reference,
    resolve_recipe,
    rule_of,
)
from fig.study.plain import parse_override, parse_plain
from fig.study.reference import fill_page, list_all_keys, make_schema

ROOT = Path(__file__).parents[1]
STATED = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())
DEMO = {key: value for key, value in STATED.items() if key not in METHODS}  # the penalty of the demo is its own


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
            "finetuning.lerning_rate: unknown key (did you mean 'learning_rate'?). Available:",
        ),
        ("seed", 1, "seed: unknown key (did you mean 'seeds'?). Available: run, preset, seeds"),
        ("detektors", {}, "detektors: unknown key (did you mean 'detectors'?). Available: run, preset, seeds"),
        ("finetuning/batch_size", "big", "finetuning.batch_size is 'big': it must be a whole number"),
        ("finetuning/learning_rate", "1e-3", "finetuning.learning_rate is the text '1e-3', for YAML wants a dot in it"),
        ("finetuning/learning_rate", float("nan"), "finetuning.learning_rate is nan: it must be a finite number"),
        ("finetuning", ["iterations"], "finetuning is ['iterations']: it must be a mapping of keys to values"),
        ("fig", {"K": 2}, "fig.K is 2: it must be at most 1"),
        (
            "fig",
            {"sampler": {"max_steps": 10**12}},
            "fig.sampler.max_steps is 1000000000000: it must be at most 1000000",
        ),
        ("fig", {"sampler": {"min_steps": 200}}, "fig.sampler: min_steps is 200: it must be at most max_steps, 100"),
        (
            "networks/resnet19",
            {},
            "networks.resnet19: unknown network 'resnet19' (did you mean 'resnet18'?). Available:",
        ),
        ("networks", {}, "networks is {}: it must be a list of at least 1"),
        ("run", "../x", "run is '../x': it must be of the form"),
        ("seeds", [0, 0], "seeds names 0 twice"),
        ("studies/0/networks", ["resnet19"], "studies[0]: unknown network 'resnet19' (did you mean 'resnet18'?)"),
        ("studies/0/id_datasets", ["mnist"], "studies[0]: unknown ID data set 'mnist'"),
        ("studies/0/targets", ["table9"], "studies[0]: unknown target 'table9'"),
        ("studies/0/variant", ["fig"], "studies[0].variant: unknown key (did you mean 'variants'?)"),
        ("chains", {"wanted": {"mnist": "3"}}, "chains.wanted: unknown ID data set 'mnist'"),
        ("studies/0/ood_datasets", ["photos"], "studies[0]: no OOD set is called 'photos': a name is <source>-c or"),
        (
            "studies/0/variants",
            ["figg"],
            "studies[0]: unknown variant 'figg' (did you mean 'fig'?). Available: standard",
        ),
        ("variants/fig/method", "figg", "variants.fig.method: unknown method 'figg' (did you mean 'fig'?)"),
        ("variants/fig/finetuning", {"K": 1}, "variants.fig.finetuning.K: unknown key. Available: learning_rate"),
        ("variants/fig/fig", {"K": 3}, "variants.fig.fig.K is 3: it must be at most 1"),
        ("variants/fig/teacher", "vgg20", "variants.fig: unknown teacher 'vgg20' (did you mean 'vgg19'?)"),
        (
            "variants/fig/teacher",
            "vgg19/figg",
            "variants.fig: unknown variant of a teacher 'figg' (did you mean 'fig'?)",
        ),
        (
            "variants/gaussian/teacher",
            "vgg19",
            "variants.gaussian: the method gaussian follows no teacher, only fig does",
        ),
        ("variants/bad\\..", {"method": "fig"}, "variants.bad\\..: a name has small letters, digits, dots"),
        ("variants/fig/per_id_dataset", {"cats": {}}, "variants.fig.per_id_dataset: unknown ID data set 'cats'"),
        ("per_id_dataset", {"cats": {}}, "per_id_dataset: unknown ID data set 'cats'"),
        ("variants/standard", {"method": "fig"}, "variants.standard cannot be defined"),
        (
            "detectors",
            {"deconf": {}},
            "studies[0]: detector deconf needs variants of the method deconf, standard is not one: name the study's",
        ),
        ("studies/0/detectors", ["odin"], "studies[0]: unknown detector 'odin'. Available: baseline"),
        ("detectors", {"odinn": {}}, "detectors.odinn: unknown detector 'odinn' (did you mean 'odin'?). Available:"),
        (
            "detectors",
            {"odin": {"steps": [0]}},
            "detectors.odin.steps: unknown key. Available: temperatures, magnitudes",
        ),
        ("detectors", {"gram": {"orders": [2, 1]}}, "detectors.gram: orders is [2, 1]: it must be in rising order"),
        ("preset", "papers", "preset is 'papers': unknown preset (did you mean 'paper'?). Available: authors, paper"),
        (
            "resources",
            {"training": {"workers": 3, "nodes": 2}},
            "resources.training: workers is 3 and nodes 2: workers must be a multiple of nodes",
        ),
    ],
)
def test_what_is_wrong_is_refused_in_one_sentence(path: str, value: object, sentence: str):
    with pytest.raises(ConfigError) as refusal:
        complete_config(changed(path, value))
    assert str(refusal.value).startswith(sentence) and "\n" not in str(refusal.value)


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The keys that lead to everything within a configuration."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


@pytest.mark.parametrize("wrong", [None, [], {"a": {"b": 1}}, -1, "1e-3", float("nan")], ids=repr)
def test_any_value_of_a_key_is_read_or_refused_in_one_sentence(
    wrong: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stated = yaml.safe_load((ROOT / "tests" / "everything.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    for name in ("test.npz", "labels.npy", "other.npy", "train", "plants", "odin", "other"):
        (tmp_path / "own" / name).mkdir(parents=True)
    (tmp_path / "weights.safetensors").touch()
    complete_config(stated)
    refused = 0
    for *outer, last in places(stated):
        changed = deepcopy(stated)
        place = changed
        for key in outer:
            place = place[key]
        place[last] = wrong
        try:
            complete_config(changed)
        except ConfigError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 100


@pytest.mark.parametrize(("text", "what"), [("- run", "holds a list"), ("", "is empty")])
def test_a_file_that_holds_no_mapping_is_named(tmp_path: Path, text: str, what: str):
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(ConfigError, match=f"my.yaml {what}: a configuration is a mapping of keys to values"):
        read_config([tmp_path / "my.yaml"])


def test_a_missing_key_is_named():
    with pytest.raises(ConfigError, match="studies is missing"):
        complete_config({key: value for key, value in DEMO.items() if key != "studies"})


def test_the_defaults_are_the_papers_settings_and_the_authors_preset_states_theirs():
    paper, authors = (complete_config(changed("preset", name)) for name in ("paper", "authors"))
    assert paper.methods["fig"] == FigSettings() and paper.evaluation == EvaluationSettings()
    assert paper.sampler == SamplerSettings() and paper.sampler.c == NARROWING
    assert (paper.methods["fig"].K, paper.finetuning.learning_rate) == (0.1, 0.001)
    assert (authors.methods["fig"].K, authors.finetuning.learning_rate) == (0.01, 0.0001)
    theirs = authors.sampler
    assert (theirs.noise, theirs.stop, theirs.max_steps) == ("deviation", "batch", 1000)
    assert (authors.scaling, theirs.step_size) == ("standardised", 0.1)


def test_later_files_and_overrides_take_precedence(tmp_path: Path):
    (tmp_path / "more.yaml").write_text("fig: {K: 0.3}\nseeds: [7]\n")
    config = read_config([ROOT / "config" / "demo.yaml", tmp_path / "more.yaml"], ["seeds=[8, 9]"])
    assert config.methods["fig"].K == 0.3 and config.seeds == (8, 9) and config.run == "demo"


@pytest.mark.parametrize("text", ["seeds=[8, 9]", "fig={K: 0.5, starts: [uniform]}", "run=night", "seeds=[8]"])
def test_snakemake_and_fig_read_an_override_alike(text: str):
    cli = pytest.importorskip("snakemake.cli")
    ((name, value),) = cli.parse_config([text]).items()
    assert parse_override(value, f"--config {name}") == parse_plain(text.partition("=")[2], name)


def test_a_variant_states_only_what_differs():
    config = complete_config(changed("variants/fig-quick", {"method": "fig", "fig": {"sampler": {"max_steps": 20}}}))
    own, plain = (resolve_recipe(config, name, "digits") for name in ("fig-quick", "fig"))
    assert own.stated_settings() == {"sampler": {"max_steps": 20}} and plain.stated_settings() == {}
    assert replace(own, settings=plain.settings) == plain


def test_a_variant_may_differ_on_one_id_data_set():
    differences = {"svhn": {"jcl": {"beta": 1}, "pretraining": {"iterations": 9}}}
    config = complete_config(
        changed("variants/jcl", {"method": "jcl", "jcl": {"filters": 8}, "per_id_dataset": differences})
    )
    there, elsewhere = (resolve_recipe(config, "jcl", name) for name in ("svhn", "digits"))
    assert there.settings == replace(config.methods["jcl"], filters=8, beta=1)
    assert elsewhere.settings == replace(config.methods["jcl"], filters=8)
    assert (there.training.iterations, there.training.epochs) == (9, 0)
    assert elsewhere.training == config.pretraining


def test_settings_for_an_id_data_set_stand_between_the_configurations_and_a_variants():
    stated = DEMO | {
        "per_id_dataset": {"digits": {"pretraining": {"iterations": 7, "batch_size": 32}, "fig": {"K": 0.3}}}
    }
    stated["variants"] = {**DEMO["variants"], "fig-k0": {"method": "fig", "fig": {"K": 0}}}
    config = complete_config(stated)
    there, elsewhere = (resolve_recipe(config, "standard", name).training for name in ("digits", "svhn"))
    assert (there.iterations, there.batch_size, there.epochs) == (7, 32, 0)
    assert elsewhere == config.pretraining
    assert [resolve_recipe(config, name, "digits").settings.K for name in ("fig", "fig-k0")] == [0.3, 0]


def test_scratch_takes_the_settings_of_fig_and_the_training_of_standard():
    config = complete_config(changed("variants/fig-scratch", {"method": "scratch", "fig": {"K": 0.3}}))
    found = resolve_recipe(config, "fig-scratch", "digits")
    assert found.settings == replace(config.methods["fig"], K=0.3) and found.training == config.pretraining


def test_studies_name_their_detectors():
    first = DEMO["studies"][0] | {"detectors": ["odin"]}
    other = DEMO["studies"][0] | {"variants": ["fig"]}
    config = complete_config(changed("studies", [first, other]) | {"detectors": {"odin": {}, "baseline": {}}})
    found = {d.variant: d.detectors for d in list_discriminators(config)}
    assert found["fig"] == ("odin", "baseline") and found["standard"] == ("odin",)


def test_a_length_in_iterations_takes_the_place_of_epochs():
    config = complete_config(changed("pretraining", {"iterations": 5}))
    assert (config.pretraining.iterations, config.pretraining.epochs) == (5, 0)
    config = complete_config(changed("finetuning", {"epochs": 5}))
    assert (config.finetuning.iterations, config.finetuning.epochs) == (0, 5)


def test_a_wanted_class_adds_to_the_papers():
    config = complete_config(changed("chains", {"wanted": {"digits": "3"}}))
    assert config.chains.wanted == {"cifar10": "dog", "svhn": "6", "digits": "3"}


@pytest.mark.parametrize(
    "path", [*sorted(ROOT.glob("config/*.yaml")), ROOT / "tests" / "tiny.yaml"], ids=lambda p: p.stem
)
def test_every_configuration_of_the_project_is_complete(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stated = yaml.safe_load(path.read_text())
    monkeypatch.chdir(tmp_path)
    for part in (part for entry in stated.get("datasets", {}).values() for part in entry.values()):
        if isinstance(part, dict):  # the files that a person puts there
            for place in (Path(part[key]) for key in ("path", "labels") if key in part):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
    config = complete_config(stated)
    assert list_discriminators(config)
    for name in ("standard", *config.variants):
        recipe = resolve_recipe(config, name, config.studies[0].id_datasets[0])
        assert recipe.training.batch_size > 0 and read_settings(type(recipe.settings), {}, name) is not None


def test_studies_that_share_a_discriminator_evaluate_it_once_on_the_sets_of_both():
    config = complete_config(changed("studies", [*DEMO["studies"], DEMO["studies"][0] | {"ood_datasets": ["coco-c"]}]))
    found = [d for d in list_discriminators(config) if d.path == "digits/resnet18/fig/0"]
    assert [d.ood_datasets for d in found] == [("photos-r-antialias", "photos-c", "coco-c")]


def test_a_teacher_that_is_not_evaluated_is_trained_all_the_same():
    assert [each.path for each in list_parents(complete_config(DEMO))] == [
        f"digits/vgg19/standard/{seed}" for seed in (0, 1)
    ]
    assert list_parents(read_config([ROOT / "config" / "paper.yaml"])) == []


def test_a_base_that_is_not_evaluated_is_trained_all_the_same_and_what_it_is_made_from_too():
    study = DEMO["studies"][0] | {"networks": ["resnet18"], "variants": ["both"]}
    variants = {"mixed": {"method": "mixup"}, "noisy": {"method": "gaussian", "base": "mixed"}}
    variants |= {"both": {"method": "fig", "base": "noisy", "teacher": "vgg19"}}
    config = complete_config(DEMO | {"studies": [study | {"targets": []}], "variants": variants, "seeds": [3]})
    made = [each.path for each in list_parents(config)]
    assert made == [f"digits/{name}/3" for name in ("resnet18/noisy", "vgg19/standard", "resnet18/mixed")]
    assert rule_of(config, "both", "resnet18") == "transfer"


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if not row.only_head])
def test_any_method_but_a_head_fine_tunes_the_base_that_a_variant_names(method: str):
    study = DEMO["studies"][0] | {"networks": ["resnet18"], "variants": ["patched"], "targets": []}
    variants = {"patched": {"method": method, "base": "standard", "finetuning": {"iterations": 7}}}
    config = complete_config(DEMO | {"studies": [study], "variants": variants, "seeds": [3]})
    assert rule_of(config, "patched", "resnet18") == "finetune"
    assert [each.path for each in list_parents(config)] == ["digits/resnet18/standard/3"]
    training = resolve_recipe(config, "patched", "digits").training
    assert isinstance(training, Finetuning) and training.iterations == 7


def test_methods_that_are_only_a_head_are_standard_training_of_another_network():
    heads = {name: build_method(name, {}) for name in METHODS}
    found = {name for name, each in heads.items() if isinstance(each, Standard) and each.head != Standard.head}
    assert found == {name for name, row in METHODS.items() if row.only_head}


def test_a_checkpoint_of_the_teacher_of_a_base_is_looked_for():
    own = {"factory": "mymodels:network", "checkpoint": "there/is/none.pt"}
    variants = {"taught": {"method": "fig", "teacher": "own"}, "again": {"method": "fig", "base": "taught"}}
    study = DEMO["studies"][0] | {"variants": ["again"], "targets": []}
    config = DEMO | {"networks": DEMO["networks"] | {"own": own}, "variants": variants, "studies": [study]}
    with pytest.raises(ConfigError, match=r"networks\.own\.checkpoint: there is no there/is/none\.pt"):
        complete_config(config)


@pytest.mark.parametrize(
    ("variants", "sentence"),
    [
        ({"a": {"method": "fig", "base": "b"}}, "variants.a.base: unknown variant 'b'. Available: standard, a"),
        ({"a": {"method": "fig", "base": 7}}, "variants.a.base is 7: it must be a text"),
        (
            {"a": {"method": "t2fnorm", "base": "b"}, "b": {"method": "fig"}},
            "variants.a.base: t2fnorm is a head, and a base keeps its own: leave base out",
        ),
        (
            {"a": {"method": "fig", "base": "a"}},
            "variants.a.base: a is made from a, which never begins: name another base",
        ),
        (
            {"a": {"method": "fig", "base": "b"}, "b": {"method": "fig", "teacher": "resnet18/a"}},
            "is made from a, which never begins: name another base",
        ),
    ],
)
def test_a_base_that_cannot_be_is_refused(variants: dict[str, object], sentence: str):
    with pytest.raises(ConfigError) as refused:
        complete_config(DEMO | {"studies": [DEMO["studies"][0] | {"variants": ["standard"]}], "variants": variants})
    assert sentence in str(refused.value)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_networks_row_builds_it(name: str):
    modules = dict(build(name, 3, 32, 1 / 8).named_modules())
    assert set(NETWORKS[name].stages) | set(NETWORKS[name].stem) <= set(modules)


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_row_builds_it_with_its_settings(name: str):
    built, settings = build_method(name, {}), METHODS[name].settings()
    assert {each.name: getattr(built, each.name) for each in fields(settings)} == vars(settings)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detectors_row_builds_it_with_its_settings(name: str):
    built, settings = build_detector(name, {}), DETECTORS[name].settings()
    assert {each.name: getattr(built, each.name) for each in fields(settings)} == vars(settings)
    assert (built.observer is not None) and (hasattr(built, "scorer") != DETECTORS[name].fitted)


def test_the_trainings_defaults_differ_as_in_the_paper():
    assert (Pretraining().epochs, Pretraining().learning_rate, Pretraining().milestones) == (200, 0.1, (0.5, 0.75))
    assert (Finetuning().iterations, Finetuning().learning_rate, Finetuning().milestones) == (1000, 0.001, ())


def test_readers_are_those_that_the_catalogue_may_name():
    assert {*READERS, ""} == set(get_args(Reader))


def test_every_key_says_what_it_means():
    assert [row.key for row in list_all_keys() if not row.about] == []


def test_the_page_of_keys_is_made_from_the_types():
    page = (ROOT / "config" / "README.md").read_text()
    assert fill_page(page) == page, "out of date: python -m fig.study.reference config/README.md"


def test_the_page_of_keys_is_rewritten_and_the_schema_printed(tmp_path: Path, capsys: pytest.CaptureFixture):
    page = tmp_path / "README.md"
    whole = (ROOT / "config" / "README.md").read_text()
    page.write_text(whole.replace("GPUs of each worker", "…"))
    reference.main(str(page))
    assert page.read_text() == whole
    reference.main("--schema")
    assert {"run", "studies", "variants"} <= set(json.loads(capsys.readouterr().out)["properties"])


def test_the_schema_knows_every_block():
    assert {"run", "studies", "fig", "jcl", "variants", "detectors", "datasets"} <= set(make_schema()["properties"])


def test_reading_a_configuration_imports_neither_torch_nor_ray_nor_pandas():
    code = (
        "import sys; from pathlib import Path; from fig.study import read_config;"
        "read_config([Path('config/paper.yaml')]);"
        "sys.exit(bool({'torch', 'ray', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
