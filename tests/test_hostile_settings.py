"""What a configuration may say wrongly, generated from the types of its keys: refused by the key, with the remedy."""

import json
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from fig.detectors.table import DETECTORS, LIBRARY
from fig.study import ConfigError, complete_config
from fig.study.reference import KeyRow, list_all_keys

ROOT = Path(__file__).parents[1]
EVERYTHING = json.loads(json.dumps(yaml.safe_load((ROOT / "tests" / "everything.yaml").read_text())))  # no aliases
NAN, INF = float("nan"), float("inf")
KEYS = {row.key: row for row in list_all_keys()}
WRONG: dict[str, list[object]] = {  # by the beginning of what a key's value is, in words
    "whole number": [10**16, -1, 1.5, NAN, INF, "7", "0o17", True, [1], {"a": 1}],
    "number": [NAN, INF, -INF, "1e-3", "a lot", True, [0.1], {"a": 0.1}],
    "text": [3, 0.5, True, ["x"], {"a": "x"}],
    "true or false": ["yes", 1, 0.0, [True], {"a": True}],
    "list": ["x", 3, {"a": 1}, [{"a": 1}], [[1]], [None]],
    "mapping": ["x", 3, [1], True],
    "`": ["nonsense", 3, True, [1], {"a": 1}],
}
REMEDIES = ("it must be", "write 1.0e-03", "unknown", "is missing", "state one as name")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with what tests/everything.yaml names."""
    monkeypatch.chdir(tmp_path)
    for name in ("test.npz", "labels.npy", "train", "plants", "odin"):
        (tmp_path / "own" / name).mkdir(parents=True)
    (tmp_path / "weights.safetensors").touch()
    return tmp_path


def changed(place: list[str | int], value: object) -> dict:
    """tests/everything.yaml with a value put in a place; mappings that are not there are made."""
    config = deepcopy(EVERYTHING)
    inner: Any = config
    for word in place[:-1]:
        inner = inner[word] if isinstance(word, int) else inner.setdefault(word, {})
    inner[place[-1]] = value
    return config


def place_of(key: str) -> list[str | int]:
    """Where tests/everything.yaml has a key of the reference, in which `*` is a name or a number."""
    holders = {name: {each.name for each in fields(row.settings)} for name, row in DETECTORS.items()}
    holders["energy"] = {each.name for each in fields(LIBRARY.settings)} | {"detector"}
    holders["warm"] = {"temperature"}
    last = key.rpartition(".")[2]
    names = {
        "networks": "patched",
        "studies": 0,
        "datasets": "holidays" if ".images." in key or ".published." in key else "pets",
        "files": 0,
        "published": "r-odin",
        "detectors": next((name for name, known in holders.items() if last in known and name != "baseline"), ""),
        "variants": "fig",
    }
    words = key.split(".")
    return [names[words[at - 1]] if word == "*" else word for at, word in enumerate(words)]


def dotted(place: list[str | int]) -> str:
    """A place as sentences name it."""
    return "".join(f"[{word}]" if isinstance(word, int) else f".{word}" for word in place).lstrip(".")


def wrong_values(row: KeyRow) -> Iterator[object]:
    """What a key must not be: by its kind, and a list of what its members must not be."""
    kind = next(kind for kind in WRONG if row.kind.startswith(kind))
    yield from WRONG[kind]
    if kind == "list":
        member = next(kind for kind in WRONG if row.kind.removeprefix("list of ").startswith(kind))
        yield from ([value] * 3 for value in WRONG[member])


def refusal(config: dict) -> str:
    """The sentence by which a configuration is refused."""
    with pytest.raises(ConfigError) as refused:
        complete_config(config)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 2000
    return str(refused.value)


@pytest.mark.parametrize("key", KEYS)
def test_every_key_refuses_what_it_must_not_be_by_its_name_and_says_what_it_must_be(key: str):
    place = place_of(key)
    if "files" in place:  # they are in place of a path, and only one entry has some
        place = ["datasets", "holidays", "images", "files", 0, place[-1]]
    for value in wrong_values(KEYS[key]):
        sentence = refusal(changed(place, value))
        assert dotted(place) in sentence and any(word in sentence for word in REMEDIES), (value, sentence)


@pytest.mark.parametrize("key", [key for key in KEYS if not key.startswith(("detectors", "datasets.*.test.f"))])
def test_every_misspelt_key_is_refused_with_the_right_one_before_the_list_of_all(key: str):
    *outer, last = place_of(key)
    if "files" in outer:
        outer = ["datasets", "holidays", "images", "files", 0]
    sentence = refusal(changed([*outer, f"{last}s"], 1))
    assert f"{last}s: unknown key (did you mean '{last}'?). Available: " in sentence


NAMES = [
    "../x",
    "a/b",
    "..",
    ".x",
    "-x",
    "a b",
    "a\nb",
    "{x}",
    "$(touch x)",
    "a;b",
    "a'b",
    "*",
    "ä",
    "x" * 101,
    "",
    "x\n",
]
NAMED = {
    "networks": {"factory": "m:f"},
    "variants": {"method": "fig"},
    "detectors": {"detector": "energy"},
    "datasets": {"images": {"path": "own/odin"}},
}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("block", NAMED)
def test_a_name_that_is_none_for_a_folder_is_refused(block: str, name: str):
    sentence = refusal(changed([block, name], NAMED[block]))
    assert sentence.startswith(f"{block}.") and ": a name has " in sentence


@pytest.mark.parametrize("block", NAMED)
def test_names_that_differ_in_their_case_alone_are_none(block: str):
    assert f"{block}.Twin: a name has small letters" in refusal(changed([block, "Twin"], NAMED[block]))


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_of_a_run_that_is_none_for_a_folder_is_refused(name: str):
    assert refusal(changed(["run"], name)).startswith("run is ")


FILE = {"url": "https://example.org/a.zip"}


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([FILE | {"name": "../../a"}], "files[0]: '../../a' is no name for a file on disk: state another as name"),
        ([FILE | {"name": "/etc/a"}], "files[0]: '/etc/a' is no name for a file on disk: state another as name"),
        ([FILE | {"name": "a b"}], "files[0]: 'a b' is no name for a file on disk: state another as name"),
        (
            [FILE | {"name": "$(touch x)"}],
            "files[0]: '$(touch x)' is no name for a file on disk: state another as name",
        ),
        ([FILE | {"name": "{x}"}], "files[0]: '{x}' is no name for a file on disk: state another as name"),
        ([FILE | {"name": "x" * 200}], "it must be a text of at most 100 characters"),
        ([{"url": "https://example.org/.."}], "'..' is no name for a file on disk: state another as name"),
        ([{"url": "https://example.org/"}], "'' is no name for a file on disk: state another as name"),
        ([{"url": "https://example.org/a?b=c"}], "'a?b=c' is no name for a file on disk: state another as name"),
        ([{"url": "file:///etc/passwd"}], "files[0].url: an address must begin with https:// or http://"),
        ([FILE, {"url": "https://example.org/other/a.zip"}], "holidays downloads two files called a.zip: give one"),
    ],
)
def test_a_download_that_would_leave_its_folder_or_replace_another_is_refused(files: list, sentence: str):
    found = refusal(changed(["datasets", "holidays", "images", "files"], files))
    assert found.startswith("datasets.holidays") and sentence in found


@pytest.mark.parametrize(
    ("teachers", "circle"),
    [
        (["vgg19/v0"], "v0 follows v0"),
        (["vgg19/v1", "vgg19/v0"], "v0 follows v1 follows v0"),
        (["vgg19/v1", "vgg19/v2", "patched/v1"], "v0 follows v1 follows v2 follows v1"),
        ([f"vgg19/v{(n + 1) % 300}" for n in range(300)], "v0 follows v1 follows v2"),
    ],
)
def test_teachers_in_a_circle_are_refused(teachers: list[str], circle: str):
    config = deepcopy(EVERYTHING)
    config["variants"] |= {f"v{n}": {"method": "fig", "teacher": name} for n, name in enumerate(teachers)}
    assert refusal(config).startswith(f"variants.v0.teacher: {circle}")


def test_more_discriminators_than_can_be_listed_are_refused_before_they_are():
    began = time.process_time()
    config = changed(["seeds"], list(range(20_001)))
    assert refusal(config).startswith(
        "studies and seeds name "
    ) and "divide them into runs of at most 20,000" in refusal(config)
    config["studies"] = config["studies"][:1] * 1000
    assert refusal(config).startswith("studies and seeds name 180,009,000 discriminators")
    config["studies"] *= 2
    assert refusal(config).startswith("studies is ") and "it must be a list of at most 1000" in refusal(config)
    assert time.process_time() - began < 8


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (
            ["networks", "patched", "arguments"],
            {"a": [{"b": NAN}]},
            "networks.patched.arguments.a[0].b is nan: it",
        ),
        (["detectors", "energy", "arguments"], {"t": INF}, "detectors.energy.arguments.t is inf: it must be a finite"),
        (["networks", "patched", "checkpoint"], "{x}", "networks.patched.checkpoint is '{x}': it must have no braces"),
        (
            ["datasets", "pets", "train", "path"],
            "own/\n",
            "datasets.pets.train.path is 'own/\\n': it must have no braces",
        ),
        (["datasets", "pets", "test", "labels"], "{}", "datasets.pets.test.labels is '{}': it must have no braces"),
        (["datasets", "pets", "train", "path"], "x" * 5000, "datasets.pets.train.path: there is no xxx"),
        (["datasets", "pets", "title"], "$x", "datasets.pets.title is '$x': it must be of the form"),
        (["datasets", "pets", "title"], "x" * 101, "datasets.pets.title is 'xxx"),
        (["studies", 2, "groups"], {"\\x": ["photos-c"]}, "studies[2].groups.\\x"),
        (["datasets", "pets", "train", "path"], "$(touch x)", "datasets.pets.train.path: there is no $(touch x)"),
        (["networks", "patched", "factory"], "os:system('x')", "networks.patched.factory is"),
        (["container"], "docker://a;touch b", "container is 'docker://a;touch b': it must be of the form"),
        (["detectors", "x" * 100_000], {}, "detectors.xxx"),
        (["studies", 0, "variants"], ["x" * 100_000], "studies[0]: unknown variant 'xxx"),
        (["studies", 0, "variants"], ["fig"] * 10_000, "studies[0].variants names 'fig' twice: name it once"),
        (["preset"], "\x1b[31m../../etc/passwd", "preset is '"),
    ],
)
def test_what_is_wrong_within_is_refused_by_its_place(place: list, value: object, sentence: str):
    assert refusal(changed(place, value)).startswith(sentence)


def test_what_is_said_of_many_names_stays_short():
    config = deepcopy(EVERYTHING)
    config["variants"] |= {f"v{n}": {"method": "fig"} for n in range(3000)}
    config["studies"][0]["variants"] = ["v3000"]
    sentence = refusal(config)
    assert sentence.startswith("studies[0]: unknown variant 'v3000' (did you mean 'v")
