"""Folded batch norms: the same logits, restored to the bit, and left alone where folding would be wrong."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from fig.folding import fold_network, pairs
from fig.frozen import frozen
from fig.networks.building import build
from fig.networks.table import NETWORKS

IMAGES = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def used(name: str) -> nn.Module:
    """A network whose running statistics have moved, and whose batch norms scale and shift."""
    network = build(name, 10, 32, 0.125)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and module.affine:
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
        network.train()(IMAGES)
    return network


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folded_network_gives_the_same_logits_and_is_restored_to_the_bit(name: str):
    network = used(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with frozen(network), torch.no_grad():
        plain = network(IMAGES)
        with fold_network(network, IMAGES[:1]):
            torch.testing.assert_close(network(IMAGES), plain, rtol=1e-3, atol=1e-4)
        assert network(IMAGES).equal(plain)
    assert all(value.equal(before[key]) for key, value in network.state_dict().items())
    assert [*network.state_dict()] == [*before]


@pytest.mark.parametrize(("name", "expected"), [("resnet18", 20), ("vgg19", 16), ("shufflenetv2", 56), ("airbench", 3)])
def test_every_batch_norm_behind_a_convolution_is_folded(name: str, expected: int):
    network = used(name)
    with frozen(network):
        assert len(pairs(network, IMAGES[:1])) == expected


class Twice(nn.Module):
    """A convolution whose output also goes around its batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, images):
        found = self.convolution(images)
        return self.head((self.norm(found) + found).mean((2, 3)))


def test_where_folding_would_change_the_logits_nothing_is_folded():
    torch.manual_seed(0)
    network = Twice()
    network.train()(IMAGES)
    with frozen(network), torch.no_grad():
        plain = network(IMAGES)
        with fold_network(network, IMAGES[:1]):
            assert network(IMAGES).equal(plain)


class Active(nn.BatchNorm2d):
    """A batch norm with an activation of its own, as timm's have."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, images):
        return self.act(super().forward(images))


class Odd(nn.BatchNorm2d):
    """A batch norm that does something that cannot be known."""

    def forward(self, images):
        return super().forward(images).square()


def chained(*norms: nn.Module) -> nn.Module:
    """A network of a convolution before each of these norms, whose logits hardly depend on its images."""
    torch.manual_seed(0)
    sizes = [3, *(norm.num_features for norm in norms)]
    layers = [
        layer
        for norm, given, gives in zip(norms, sizes[:-1], sizes[1:], strict=True)
        for layer in (nn.Conv2d(given, gives, 3), norm)
    ]
    head = nn.Linear(sizes[-1], 2)
    nn.init.normal_(head.weight, std=1e-7)
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    with torch.no_grad():
        network.train()(IMAGES)
    return network


@pytest.mark.parametrize(("norm", "count"), [(nn.BatchNorm2d, 2), (Active, 2), (Odd, 0)])
def test_norms_with_an_activation_are_folded_and_what_cannot_be_known_is_not(norm: type, count: int):
    network = chained(norm(4), norm(5))
    features = network[:-1]
    with frozen(network), torch.no_grad():
        plain = features(IMAGES)
        assert len(pairs(network, IMAGES[:1])) == count
        with fold_network(network, IMAGES[:1]):
            torch.testing.assert_close(features(IMAGES), plain, rtol=1e-3, atol=1e-4)
        assert features(IMAGES).equal(plain)


@pytest.mark.parametrize("way", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm])
def test_a_convolution_whose_weights_are_computed_is_left_alone_and_the_others_are_folded(way: Callable):
    network = chained(nn.BatchNorm2d(4), nn.BatchNorm2d(5))
    way(network[0])
    with frozen(network), torch.no_grad():
        plain = network[:-1](IMAGES)
        with fold_network(network, IMAGES[:1]):
            torch.testing.assert_close(network[:-1](IMAGES), plain, rtol=1e-3, atol=1e-4)
        assert [convolution for convolution, _ in pairs(network, IMAGES[:1])] == [network[2]]


def test_a_batch_norm_without_running_statistics_is_left_alone():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    with frozen(network):
        assert pairs(network, IMAGES) == []


def test_a_network_is_restored_after_an_error():
    network = used("resnet18")
    weight = network.conv1.weight
    with pytest.raises(RuntimeError, match="the reason"), frozen(network), fold_network(network, IMAGES[:1]):
        raise RuntimeError("the reason")
    assert network.conv1.weight is weight and "forward" not in network.bn1.__dict__
