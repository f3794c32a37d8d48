"""What holds for every network, and the sizes that the literature gives."""

import pytest
import torch
import torchvision

from fig.networks import NETWORKS, build


def size_of(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("image_size", [32, 224])
def test_images_become_logits_and_gradients_reach_them(name: str, image_size: int):
    network = build(name, classes=7, image_size=image_size, width=0.25).eval()
    images = torch.rand(2, 3, image_size, image_size, requires_grad=True)
    logits = network(images)
    assert logits.shape == (2, 7)
    logits.sum().backward()
    assert images.grad.isfinite().all() and images.grad.abs().sum() > 0


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("width", [0.0625, 0.125, 0.3])
def test_weight_gradients_are_right_at_any_width_and_batch_size(name: str, width: float):
    """In channels-last memory, as training uses it, against float64 in the plain layout."""
    images, labels = torch.rand(9, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 7
    exact = build(name, 7, 32, width).eval().double()
    used = build(name, 7, 32, width).eval().to(memory_format=torch.channels_last)
    for network, inputs in ((exact, images.double()), (used, images.contiguous(memory_format=torch.channels_last))):
        torch.nn.functional.cross_entropy(network(inputs), labels).backward()
    for (weight, expected), given in zip(exact.named_parameters(), used.parameters(), strict=True):
        error = (given.grad - expected.grad).norm() / expected.grad.norm().clamp(min=1e-6)
        assert error < 1e-3, f"{weight}: {error:.4f}"


@pytest.mark.parametrize("name", NETWORKS)
def test_the_seed_alone_decides_the_weights(name: str):
    torch.manual_seed(1)
    first = build(name, 10, 32, 0.25, seed=3).state_dict()
    before = torch.get_rng_state()
    second = build(name, 10, 32, 0.25, seed=3).state_dict()
    other = build(name, 10, 32, 0.25, seed=4).state_dict()
    assert all(value.equal(second[key]) for key, value in first.items())
    assert any(not value.equal(other[key]) for key, value in first.items())
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("name", NETWORKS)
def test_width_multiplies_the_channels(name: str):
    full, half = (size_of(build(name, 10, 32, width)) for width in (1.0, 0.5))
    assert 2 < full / half < 5  # most weights join channels to channels


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("resnet18", 11_173_962), ("densenet100", 769_162)],  # as published for CIFAR10
)
def test_small_images_give_the_networks_of_the_literature(name: str, parameters: int):
    assert size_of(build(name, classes=10, image_size=32)) == parameters


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("resnet18", torchvision.models.resnet18),
        ("shufflenetv2", torchvision.models.shufflenet_v2_x1_0),
    ],
)
def test_large_images_give_torchvisions_network(name: str, theirs):
    ours, reference = build(name, 1000, 224), theirs()
    reference.load_state_dict(dict(zip(reference.state_dict(), ours.state_dict().values(), strict=True)))
    images = torch.rand(1, 3, 224, 224)
    torch.testing.assert_close(ours.eval()(images), reference.eval()(images))


def test_an_unknown_network_is_refused_by_name():
    with pytest.raises(ValueError, match="no network is called 'resnet19': choose one of resnet18, vgg19"):
        build("resnet19", 10, 32)
