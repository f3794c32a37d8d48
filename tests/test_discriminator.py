"""The discriminator: its scaling, and that a folder is enough to rebuild it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from fig.data.arrays import Split
from fig.discriminator import Architecture, Card, Discriminator, load, load_card, save
from fig.evaluation import subject_of
from fig.networks.outputs import bare
from fig.networks.table import NETWORKS


def test_pixels_are_scaled_to_the_range_in_which_chains_move(small: Discriminator):
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 3, 16, 16)
    assert small.scaled(pixels)[:, 0, 0, 0].tolist() == pytest.approx([-1, -0.6, 1])


def test_standardised_scaling_is_by_channel(small: Discriminator):
    architecture = replace(small.architecture, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    scaled = Discriminator(architecture).scaled(torch.full((1, 3, 16, 16), 255, dtype=torch.uint8))
    assert scaled[0, :, 0, 0].tolist() == pytest.approx([1, 3, 1])


def test_images_of_another_type_or_size_are_refused(small: Discriminator):
    for images in (torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"not uint8 \(batch, 3, 16, 16\)"):
            small(images)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_folder_is_enough_to_rebuild_the_discriminator(network: str, tmp_path: Path, stripes: Split):
    architecture = Architecture(network, classes=5, size=32, width=0.125, mean=(0.4, 0.5, 0.6))
    original = Discriminator(architecture, seed=3)
    original.train()(torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8))  # moves the running statistics
    card = Card(architecture, "stripes", "standard", 3, "abc", {"versions": {}}, {"training": {"epochs": 1}})
    save(tmp_path, original, card)
    rebuilt = load(tmp_path)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    assert rebuilt.eval()(images).equal(original.eval()(images))
    assert load_card(tmp_path) == card
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "discriminator.json"}


def test_a_folder_that_is_none_and_a_card_that_is_wrong_are_named(tmp_path: Path, small: Discriminator):
    with pytest.raises(FileNotFoundError, match=r"no discriminator\.json"):
        load(tmp_path)
    save(tmp_path, small, Card(small.architecture, "stripes", "standard", 0, "abc"))
    path = tmp_path / "discriminator.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sed": 1}))
    with pytest.raises(ValueError, match="sed: unknown key"):
        load(tmp_path)


def tiny(classes: int = 3) -> nn.Module:
    """What a factory makes."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, classes))


def test_chains_of_your_own_network_move_over_all_pixels_with_any_scaling(tmp_path: Path):
    mean, std = (0.1, 0.2, 0.3), (0.2, 0.3, 0.4)
    stated = {"factory": f"{__name__}:tiny", "arguments": {"classes": 3}, "taps": ("0",)}
    found = Discriminator(Architecture("mine", 3, 8, mean=mean, std=std, **stated))
    images = torch.randint(0, 256, (5, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    inputs = (images / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    inner = bare(found.network)
    assert found(images).allclose(inner(inputs), atol=1e-4)
    assert found.scaled(images).abs().max() == 1 and subject_of(found).stages == ("network.0",)
    save(tmp_path, found, Card(found.architecture, "own", "standard", 0, "key"))
    assert set(load_file(tmp_path / "model.safetensors")) == set(inner.state_dict())
    assert load(tmp_path, trust_factory=True)(images).equal(found(images))
