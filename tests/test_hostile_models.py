"""Model files that somebody damaged or made to do harm: each is refused in one sentence, and nothing of it is run."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import run

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from fig import discriminator
from fig.commands import export, openood, patch, probe, push, register, sample
from fig.discriminator import Architecture, Card, Discriminator, load
from fig.export import Decision, read_decision
from fig.networks.building import import_factory, made_by
from fig.networks.weights import load_weights
from support.hostile import CHECKPOINTS, assert_sentence, files_below

WEIGHTS, CARD = "model.safetensors", "discriminator.json"


@pytest.fixture
def folder(small: Discriminator, tmp_path: Path) -> Path:
    """A discriminator's folder."""
    folder = tmp_path / "mine"
    discriminator.save(folder, small, Card(small.architecture, "stripes", "fig", 0, "0123456789abcdef"))
    return folder


def of_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], bytes]:
    """What a safetensors file holds after a change of its tensors."""

    def changed(path: Path) -> bytes:
        weights = load_file(path)
        change(weights)
        return save(weights)

    return changed


def replaced(value: torch.Tensor) -> Callable[[Path], bytes]:
    return of_weights(lambda weights: weights.update({"conv1.weight": value}))


def another(architecture: Architecture) -> Callable[[Path], bytes]:
    made = Discriminator(architecture).network
    return lambda path: save({name: value.contiguous() for name, value in made.state_dict().items()})


DAMAGED_WEIGHTS: dict[str, tuple[Callable[[Path], bytes | None], str]] = {  # what is there instead, and what is said
    "truncated": (lambda path: path.read_bytes()[:-8], "is no weights file .*copy it again"),
    "a header alone": (
        lambda path: path.read_bytes()[:4],
        "is no weights file .*[Hh]eader ?[Tt]oo ?[Ss]mall; copy it again",
    ),
    "random": (lambda path: os.urandom(4096), "is no weights file .*copy it again"),
    "empty": (lambda path: b"", "is no weights file .*: it is empty; copy it again"),
    "a header of 2^62 bytes": (
        lambda path: (2**62).to_bytes(8, "little") + b"{}",
        "[Hh]eader ?[Tt]oo ?[Ll]arge; copy it again",
    ),
    "nested headers": (lambda path: (10**6).to_bytes(8, "little") + b"[" * 10**6, "is no weights file .*copy it again"),
    "a folder": (lambda path: None, "is no weights file .*: it is a folder; copy it again"),
    "a pickle": (lambda path: CHECKPOINTS["a pickle that runs a command"][0], "is no weights file .*copy it again"),
    "nan": (replaced(torch.full((4, 3, 3, 3), torch.nan)), "holds a conv1.weight that is not finite: .*diverged"),
    "infinite": (replaced(torch.full((4, 3, 3, 3), torch.inf)), "holds a conv1.weight that is not finite"),
    "another shape": (replaced(torch.zeros(4, 3, 7, 7)), r"its conv1.weight is \(4, 3, 7, 7\), not \(4, 3, 3, 3\)"),
    "whole numbers": (replaced(torch.ones(4, 3, 3, 3).int()), "its conv1.weight is of torch.int32, not torch.float32"),
    "too few": (of_weights(lambda weights: weights.pop("fc.bias")), "it lacks fc.bias; copy both files again"),
    "too many": (of_weights(lambda weights: weights.update(b=torch.ones(1))), "it has b, unknown to the network"),
    "of another network": (another(Architecture("vgg19", 2, 16, width=1 / 16)), "is not of its network resnet18: it"),
    "of other classes": (
        another(Architecture("resnet18", 3, 16, width=1 / 16)),
        r"its fc.bias is \(3,\), not \(2,\)",
    ),
    "of another width": (another(Architecture("resnet18", 2, 16, width=1 / 8)), "is not of its network resnet18: its"),
}


@pytest.mark.parametrize("damage", DAMAGED_WEIGHTS)
def test_weights_that_are_damaged_or_of_another_network_are_refused_by_their_file(damage: str, folder: Path):
    make, sentence = DAMAGED_WEIGHTS[damage]
    content = make(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).mkdir() if content is None else (folder / WEIGHTS).write_bytes(content)
    before = files_below(folder.parent)
    with pytest.raises(ValueError) as refused:
        load(folder)
    assert_sentence(refused.value, sentence, WEIGHTS)
    assert files_below(folder.parent) == before


def test_weights_in_half_precision_become_those_of_the_network(folder: Path):
    halved = {
        name: value.half() if value.is_floating_point() else value.clone()  # of a file that is written again
        for name, value in load_file(folder / WEIGHTS).items()
    }
    save_file(halved, folder / WEIGHTS)
    weights = load(folder).network.state_dict()
    assert all(value.equal(halved[name].to(value.dtype)) for name, value in weights.items())


def stating(*keys: str, value: object) -> Callable[[str], str]:
    """What a card says after a change of a key."""

    def changed(text: str) -> str:
        card = place = json.loads(text)
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        return json.dumps(card)

    return changed


def lacking(key: str) -> Callable[[str], str]:
    return lambda text: json.dumps({name: value for name, value in json.loads(text).items() if name != key})


BUILT = "architecture"
DAMAGED_CARDS: dict[str, tuple[Callable[[str], str | bytes], str]] = {
    "truncated": (lambda text: text[:40], "is no JSON object that can be read .*: copy it again"),
    "empty": (lambda text: "", "is no JSON object that can be read .*: copy it again"),
    "bytes": (lambda text: bytes(range(128, 256)), "is no JSON object that can be read .*: copy it again"),
    "nested": (lambda text: "[" * 10**7, r"is no JSON object that can be read \(maximum recursion depth"),
    "nested objects": (lambda text: '{"a":' * 10**6, r"is no JSON object that can be read \(maximum recursion depth"),
    "a number too long": (
        lambda text: '{"seed": ' + "9" * 10**5 + "}",
        "is no JSON object that can be read .*: copy it",
    ),
    "a list": (lambda text: "[1, 2]", r"is no JSON object that can be read \(it is \[1, 2\]\): copy it again"),
    "null": (lambda text: "null", r"is no JSON object that can be read \(it is None\): copy it again"),
    "an unknown key": (stating("sed", value=1), "sed: unknown key .*did you mean 'seed'"),
    "no key": (lacking("key"), "key is missing"),
    "no architecture": (lacking(BUILT), "architecture is missing"),
    "a list for a mapping": (stating(BUILT, value=[]), "architecture is .*: it must be a mapping"),
    "nan": (stating(BUILT, "width", value=float("nan")), "architecture.width is nan: it must be a finite number"),
    "a nan of std": (stating(BUILT, "std", value=[float("nan")] * 3), r"architecture.std\[0\] is nan: it must be"),
    "no std": (stating(BUILT, "std", value=[0, 1, 1]), r"architecture.std\[0\] is 0: it must be above 0"),
    "a text for a number": (stating(BUILT, "classes", value="2"), "architecture.classes is '2': it must be a whole"),
    "true for a number": (stating(BUILT, "classes", value=True), "architecture.classes is True: it must be a whole"),
    "no class": (stating(BUILT, "classes", value=0), "architecture.classes is 0: it must be at least 1"),
    "too many classes": (stating(BUILT, "classes", value=10**12), "architecture.classes is .*: it must be at most"),
    "many classes": (stating(BUILT, "classes", value=10**8), r"its fc.bias is \(2,\), not \(100000000,\)"),
    "too wide": (stating(BUILT, "width", value=1e6), "architecture.width is .*: it must be at most 100"),
    "wide": (stating(BUILT, "width", value=99), "is not of its network resnet18: its bn1.bias is"),
    "too large": (stating(BUILT, "size", value=10**6), "architecture.size is 1000000: it must be at most 4096"),
    "another network": (stating(BUILT, "network", value="vgg19"), "is not of its network vgg19: it lacks"),
    "an unknown network": (stating(BUILT, "network", value="resnet19"), "unknown network .*did you mean 'resnet18'"),
    "another head": (stating(BUILT, "head", value="deconf"), "is not of its network resnet18: it lacks fc"),
    "an unknown head": (stating(BUILT, "head", value="x"), "no head is called 'x': choose one of linear, deconf"),
    "other names": (stating("class_names", value=["a"]), "has 1 names, but the network has 2 classes: state one"),
    "a path as a name": (stating("variant", value="../../x"), "variant is '../../x': it must be of the form"),
    "a path as data": (stating("id_dataset", value="/etc"), "id_dataset is '/etc': it must be of the form"),
}


@pytest.mark.parametrize("damage", DAMAGED_CARDS)
def test_a_card_that_is_damaged_or_of_another_network_is_refused_by_its_file_and_key(damage: str, folder: Path):
    make, sentence = DAMAGED_CARDS[damage]
    content = make((folder / CARD).read_text())
    (folder / CARD).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as refused:
        load(folder)
    assert_sentence(refused.value, sentence, CARD)


FOREIGN = {  # factories that a stranger might name
    "os:mkdir": "is of Python's own library",
    "subprocess:call": "is of Python's own library",
    "builtins:eval": "is of Python's own library",
    "importlib.util:find_spec": "is of Python's own library",
    "posix:system": "is of Python's own library",
    "fig.hub:shutil.rmtree": "shutil is no class",
    "fig.hub:Path": "is of Python's own library",
    "fig.hub:Path.mkdir": "is of Python's own library",
    "fig.hub:hashlib": "it is no function",
    "support.hostile:later": "is of Python's own library",
    "os.mkdir": "is no such name: name it as package.module:function",
    "os": "is no such name",
    "..os:mkdir": "is no such name",
    "a:b.c.d": "is no such name",
    "a:b()": "is no such name",
    "/etc/passwd:x": "is no such name",
    "fig.nowhere:x": "cannot be imported",
    "fig.hub:nothing": "cannot be imported",
    "fig.hub:NAMES": "it is no function",
    "numpy:zeros": "failed with its arguments",
    "sklearn.utils:Bunch": "returned Bunch, not a torch.nn.Module",
}


@pytest.mark.parametrize("factory", FOREIGN)
def test_a_factory_that_makes_no_network_is_refused_and_none_of_python_s_own_library_is_run(
    factory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = files_below(tmp_path)
    with pytest.raises(ValueError) as refused:
        made_by(factory, {"path": str(tmp_path / "made")})
    assert_sentence(refused.value, FOREIGN[factory], factory)
    assert files_below(tmp_path) == before


def test_a_function_and_a_class_s_method_of_others_are_factories():
    assert isinstance(made_by("torch.nn:Identity", {}), torch.nn.Identity)
    assert import_factory("fig.discriminator:Discriminator.from_pretrained") == Discriminator.from_pretrained


@pytest.fixture
def foreign(folder: Path, tmp_path: Path) -> Path:
    """A stranger's folder, whose factory would leave a file."""
    stated = {"factory": "support.hostile:leave_file", "arguments": {"path": str(tmp_path / "it-ran")}}
    card = json.loads((folder / CARD).read_text())
    card[BUILT] |= stated
    (folder / CARD).write_text(json.dumps(card))
    return folder


COMMANDS = {
    "from_pretrained": lambda folder, out: Discriminator.from_pretrained(folder),
    "load": lambda folder, out: load(folder),
    "probe": lambda folder, out: probe.probe(folder, out=out),
    "sample": lambda folder, out: sample.sample(folder, out=out),
    "patch": lambda folder, out: patch.patch(folder, folder, out=out),
    "export": lambda folder, out: export.export(folder, out=out),
    "register": lambda folder, out: register.register(folder),
    "push": lambda folder, out: push.push(folder, "me/mine"),
    "openood": lambda folder, out: openood.openood(folder, out=out),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_stranger_s_factory_does_not_run_unless_it_is_trusted(command: str, foreign: Path, tmp_path: Path):
    if command == "probe":
        pytest.importorskip("matplotlib")
    (foreign / "detector.json").write_text('{"detector": "energy", "threshold": 1.0}')
    before = files_below(tmp_path)
    with pytest.raises(ValueError) as refused:
        COMMANDS[command](foreign, tmp_path / "out")
    if command == "openood":
        assert_sentence(refused.value, "no checkpoint for it", "OpenOOD")
    else:
        assert_sentence(refused.value, "names the factory .*, which is code: trust_factory=True", CARD)
    assert files_below(tmp_path) == before


def test_a_factory_that_is_trusted_or_of_one_s_own_study_runs(foreign: Path, tmp_path: Path, monkeypatch):
    pytest.importorskip("matplotlib")  # of fig probe
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    own = foreign.rename(tmp_path / "results" / "mine")
    for loading in (lambda: Discriminator.from_pretrained(own, trust_factory=True), lambda: probe.probe(own)):
        with pytest.raises(ValueError, match="returned PosixPath, not a "):
            loading()
        (tmp_path / "it-ran").unlink()


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_checkpoint_to_be_adopted_is_named_for_what_it_is_and_nothing_in_it_is_run(kind: str, tmp_path: Path):
    content, sentence = CHECKPOINTS[kind]
    path = tmp_path / ("weights.safetensors" if kind.startswith("safetensors") else "weights.pt")
    path.mkdir() if content is None else path.write_bytes(content)
    before = files_below(tmp_path)
    with pytest.raises(ValueError) as refused:
        load_weights(torch.nn.Linear(2, 2), path)
    assert_sentence(refused.value, sentence, path.name)
    assert files_below(tmp_path) == before and not Path("it-ran").exists()
    assert "weights_only" not in str(refused.value), "no advice to run it"


@pytest.mark.slow
def test_fig_adopt_of_a_harmful_checkpoint_ends_with_one_sentence_and_writes_nothing(tmp_path: Path):
    (tmp_path / "weights.pt").write_bytes(CHECKPOINTS["a checkpoint that runs a command"][0])
    factory = ["--factory", "torch.nn:Linear", "--arguments", '{"in_features": 2, "out_features": 2}']
    words = ["adopt", "weights.pt", *factory, "--classes", "2", "--size", "8", "--out", "mine"]
    done = run([sys.executable, "-m", "fig", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.count("error: ") == 1 and "Traceback" not in done.stderr
    assert files_below(tmp_path).keys() == {"weights.pt"}


TEMPERATURES = {  # what JSON has, and what is said of it
    "1e999": "inf: it must be a finite number",
    "-Infinity": "-inf: it must be a finite number",
    "NaN": "nan: it must be a finite number",
    "1" + "0" * 400: "number",  # a finite one, as newer versions of Pydantic say
    "true": "True: it must be a number",
    '"2"': "'2': it must be a number",
    "null": "None: it must be a number",
    "[1]": "[1]: it must be a number",
    "0": "0: it must be above 0",
    "-1": "-1: it must be above 0",
}


@pytest.mark.parametrize("written", TEMPERATURES, ids=lambda text: text[:9])
def test_a_temperature_that_is_no_positive_finite_number_is_refused(written: str, tmp_path: Path):
    stated = f'{{"detector": "energy", "threshold": 1.0, "settings": {{"temperature": {written}}}}}'
    (tmp_path / "detector.json").write_text(stated)
    with pytest.raises(ValueError) as refused:
        read_decision(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path}/detector.json: settings of energy.temperature is ")
    assert str(refused.value).endswith(TEMPERATURES[written])
    with pytest.raises(ValueError, match=r"settings of energy\.temperature is "):
        Decision(**json.loads(stated))
