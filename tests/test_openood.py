"""OpenOOD's checkpoints, scores and protocol, read and written."""

from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from fig.networks.building import build, load_weights
from fig.study import ConfigError, complete_config
from support.openood import ResNet18

ROOT = Path(__file__).parents[1]

WRAPPED = {  # what checkpoints of OpenOOD's network look like in the wild
    "plain": lambda state: state,
    "of DataParallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "within a training's": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"state": {}}},
    "within a training's, of DataParallel": lambda state: {
        "model": {f"module.{name}": value for name, value in state.items()}
    },
    "of an old PyTorch, without counters": lambda state: {
        name: value for name, value in state.items() if not name.endswith("num_batches_tracked")
    },
    "with pytorch-cifar's name of the last layer": lambda state: {
        name.replace("fc.", "linear."): value for name, value in state.items()
    },
}


def theirs(width: float = 1 / 16, classes: int = 10) -> nn.Module:
    """OpenOOD's network with weights and running statistics that were moved."""
    torch.manual_seed(0)
    network = ResNet18(classes, width)
    for name, value in network.state_dict().items():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_a_checkpoint_of_openoods_network_gives_our_resnet18_its_logits(wrap, tmp_path: Path):
    network, ours = theirs(), build("resnet18", 10, 32, width=1 / 16).eval()
    torch.save(wrap(network.state_dict()), tmp_path / "best.ckpt")
    load_weights(ours, tmp_path / "best.ckpt")
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(ours(images), network(images), rtol=1e-4, atol=1e-5)


def test_the_stand_in_has_the_names_and_shapes_of_openoods_network():
    shapes = {name: tuple(value.shape) for name, value in ResNet18().state_dict().items()}
    assert len(shapes) == 122 and shapes["conv1.weight"] == (64, 3, 3, 3) and shapes["fc.weight"] == (10, 512)
    assert shapes["layer4.0.shortcut.0.weight"] == (512, 256, 1, 1) and "layer1.0.shortcut.0.weight" not in shapes


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (
            {f"backbone.{name}": value for name, value in theirs().state_dict().items()},
            "it lacks conv1.weight and 101 more and it has backbone.conv1.weight and 121 more, unknown to the network",
        ),
        (theirs().state_dict() | {"rot_fc.weight": torch.zeros(4, 32)}, "it has rot_fc.weight, unknown to the network"),
        (
            {name: value for name, value in theirs().state_dict().items() if name != "layer2.0.shortcut.0.weight"},
            "it lacks layer2.0.downsample.0.weight",
        ),
        (theirs(classes=100).state_dict(), "its fc.weight is (100, 32), not (10, 32)"),
    ],
)
def test_a_checkpoint_of_another_layout_is_refused_in_a_sentence_that_says_what_is_missing(
    state: dict, sentence: str, tmp_path: Path
):
    torch.save(state, tmp_path / "best.ckpt")
    with pytest.raises(ValueError) as refused:
        load_weights(build("resnet18", 10, 32, width=1 / 16), tmp_path / "best.ckpt")
    assert str(refused.value) == f"{tmp_path / 'best.ckpt'} does not fit the network: {sentence}"


def test_a_name_that_a_network_has_is_never_taken_for_another(tmp_path: Path):
    own = nn.ModuleDict({"shortcut": nn.Linear(2, 2), "downsample": nn.Linear(2, 2)})
    state = {name: torch.full_like(value, float("shortcut" in name)) for name, value in own.state_dict().items()}
    torch.save(state, tmp_path / "own.pt")
    load_weights(own, tmp_path / "own.pt")
    assert own["shortcut"].weight.eq(1).all() and own["downsample"].weight.eq(0).all()


def test_a_checkpoints_path_may_name_the_seed_and_each_is_looked_for(tmp_path: Path):
    pattern = f"{tmp_path}/{{id_dataset}}/s{{seed}}/best.ckpt"
    stated = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text()) | {"seeds": [0, 1]}
    stated["networks"]["resnet18"]["checkpoint"] = pattern
    for seed in (0, 1):
        there = tmp_path / f"digits/s{seed}/best.ckpt"
        with pytest.raises(ConfigError, match=f"networks.resnet18.checkpoint: there is no {there}"):
            complete_config(stated)
        there.parent.mkdir(parents=True)
        there.touch()
    network = complete_config(stated).networks["resnet18"]
    assert network.weights("digits", 1) == str(tmp_path / "digits/s1/best.ckpt")
