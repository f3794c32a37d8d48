"""What holds for every network, and the sizes that the literature gives."""

import pytest
import torch
import torchvision
from sklearn.datasets import load_sample_images
from torch import nn

from fig.networks.airbench import Whitening
from fig.networks.building import build
from fig.networks.heads import last_linear
from fig.networks.table import NETWORKS
from fig.networks.taps import Tap, kept_at, pooled, stages, tap_modules


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
    [
        ("resnet18", 11_173_962),  # with the CIFAR stem, as kuangliu/pytorch-cifar made it known
        ("vgg19", 20_040_522),  # torchvision's 143,678,248 less its three linear layers, plus one of 512 x 10
        ("shufflenetv2", 1_263_854),  # torchvision's 2,278,604 less 990 of its 1,000 classes of 1,024 + 1 weights
        ("densenet100", 769_162),  # "0.8M" in Table 2 of Huang et al.
        ("airbench", 1_967_616 + 2_304 + 2_570),  # convolutions, norms and head, counted by hand; Jordan says 1.97 M
    ],
)
def test_small_images_give_the_networks_of_the_literature(name: str, parameters: int):
    assert size_of(build(name, classes=10, image_size=32)) == parameters


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("resnet18", torchvision.models.ResNet18_Weights),
        ("vgg19", torchvision.models.VGG19_BN_Weights),
        ("shufflenetv2", torchvision.models.ShuffleNet_V2_X1_0_Weights),
    ],
)
def test_large_images_give_as_many_weights_as_torchvision_documents(name: str, weights):
    with torch.device("meta"):
        assert size_of(build(name, 1000, 224)) == weights.DEFAULT.meta["num_params"]


def test_the_stem_of_airbench_whitens_patches_of_photographs():
    for photo in load_sample_images().images:
        images = torch.tensor(photo[::4, ::4]).permute(2, 0, 1)[None] / 127.5 - 1  # (1, 3, h, w)
        patches = torch.nn.functional.unfold(images, 2)[0]  # (12, places)
        halves = Whitening()(images)[0].flatten(1)  # (24, places)
        white = halves[:12] - halves[12:]
        assert (white.std(1) - 1).abs().max() < 0.01
        correlations = [(torch.corrcoef(each) - torch.eye(12)).abs().mean() for each in (white, patches)]
        assert correlations[0] < correlations[1] / 8


SHAPES = {  # channels and pixels a side at the end of each stage for 32 x 32 images
    "resnet18": [(64, 32), (128, 16), (256, 8), (512, 4)],  # Table 1 of He et al. with the CIFAR stem
    "vgg19": [(64, 32), (128, 16), (256, 8), (512, 4), (512, 2)],  # configuration E of Simonyan and Zisserman
    "shufflenetv2": [(116, 16), (232, 8), (464, 4), (1024, 4)],  # Table 5 of Ma et al.
    "densenet100": [(108, 16), (150, 8), (342, 8)],  # 24 + 16 x 12 = 216, halved; 108 + 192, halved; 150 + 192
    "airbench": [(64, 15), (256, 7), (256, 3)],  # 31 pixels after patches of 2 x 2, halved three times
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_stage_can_be_tapped_without_changing_the_result(name: str):
    network, images = build(name, 10, 32).eval(), torch.rand(2, 3, 32, 32)
    plain = network(images)
    with tap_modules(network, {stage: Tap(stage) for stage in NETWORKS[name].stages}) as features:
        assert network(images).equal(plain)
    assert [(f.shape[1], f.shape[2]) for f in features.values()] == SHAPES[name] and [*features] == [
        *NETWORKS[name].stages
    ]
    features.clear()
    network(images)
    assert not features, "the hooks are gone"


@pytest.mark.parametrize("name", NETWORKS)
def test_stages_of_large_images_can_be_tapped_too(name: str):
    network, images = build(name, 7, 64, 0.25).eval(), torch.rand(1, 3, 64, 64)
    plain = network(images)
    with tap_modules(network, {stage: Tap(stage) for stage in NETWORKS[name].stages}) as features:
        assert network(images).equal(plain) and len(features) == len(NETWORKS[name].stages)


def test_gradients_flow_through_tapped_features():
    network, images = build("resnet18", 10, 32, 0.25).eval(), torch.rand(2, 3, 32, 32, requires_grad=True)
    with tap_modules(network, {"layer3": Tap("layer3")}) as features:
        network(images)
    (gradient,) = torch.autograd.grad(features["layer3"].sum(), images)
    assert gradient.abs().sum() > 0


def test_a_pass_to_a_tap_goes_no_deeper_and_gives_the_same():
    network, images = build("resnet18", 10, 32, 0.25).eval(), torch.rand(2, 3, 32, 32)
    with tap_modules(network, {"": Tap("layer2", pooled)}) as kept:
        network(images)
    whole = kept[""]
    network.layer3.register_forward_hook(lambda *_: pytest.fail("went too deep"))
    assert kept_at(network, Tap("layer2", pooled), images).equal(whole) and whole.shape == (2, 32)


def test_a_module_that_is_called_twice_is_tapped_at_either_call():
    network, images = build("resnet18", 10, 32, 0.25).eval(), torch.rand(2, 3, 32, 32)
    taps = {"first": Tap("layer1.0.relu"), "second": Tap("layer1.0.relu", call=1), "block": Tap("layer1.0")}
    with tap_modules(network, taps) as kept:
        network(images)
    assert kept["second"].equal(kept["block"]) and not kept["first"].equal(kept["second"])


def test_penultimate_features_are_what_the_last_linear_layer_is_given():
    network, images = build("vgg19", 10, 32, 0.25).eval(), torch.rand(2, 3, 32, 32)
    name, linear = last_linear(network, images)
    with tap_modules(network, {"": Tap(name, given=True)}) as kept:
        logits = network(images)
    assert linear(kept[""]).equal(logits)


def test_an_unknown_tap_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match=r"no submodule 'layer5' .*; its outermost ones are conv1, bn1"):
        tap_modules(build("resnet18", 10, 32, 0.25), {"": Tap("layer5")}).__enter__()


class Own(nn.Module):
    """A network that cannot be traced: what it does depends on its images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, 4, 3, padding=1), nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(8, 5)

    def forward(self, images):
        found = self.body(self.stem(images))
        return self.head(found.amax((2, 3)) if images.mean() > 0.5 else found.mean((2, 3)))


def test_the_stages_of_ones_own_network_are_found_and_it_is_left_alone():
    network = Own().train()
    assert stages(network, torch.rand(1, 3, 32, 32)) == ("stem", "body") and network.training
    assert stages(build("resnet18", 10, 32, 0.25), torch.rand(1, 3, 32, 32)) == NETWORKS["resnet18"].stages
    flat = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 3))
    assert stages(flat, torch.rand(1, 3, 2, 2)) == ("1", "2")
    with pytest.raises(ValueError, match="no submodule gives features"):
        stages(nn.Sequential(nn.Flatten()), torch.rand(1, 3, 2, 2))


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
    with pytest.raises(
        ValueError, match=r"unknown network 'resnet19' \(did you mean 'resnet18'\?\). Available: resnet18, vgg19"
    ):
        build("resnet19", 10, 32)


class Tokens(nn.Module):
    """Patches as tokens (B, n, C), through a block that gives a tuple and works in windows, to a head that pools."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.block, self.norm = nn.Conv2d(3, 6, 4, 4), Windows(), nn.LayerNorm(6)
        self.unused, self.heads, self.also_unused = nn.Linear(6, 5), nn.ModuleList([nn.Linear(6, 5)]), nn.Linear(6, 5)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).mT
        return self.heads[0](self.norm(self.block(tokens=tokens)[0]).mean(1))


class Windows(nn.Module):
    """A residual block of tokens whose inner features have other shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.within = nn.Conv2d(6, 6, 1)

    def forward(self, tokens):
        return tokens + self.within(tokens.mT.unflatten(2, (2, -1))).flatten(2).mT, None


def test_the_stages_of_tokens_are_found_and_what_is_within_a_block_is_none_of_them():
    network, images = Tokens(), torch.rand(2, 3, 16, 16)
    assert stages(network, images) == ("norm",)
    network.norm = nn.Identity()
    assert stages(network, images) == ("block",)
    with tap_modules(network, {"": Tap("block", pooled)}) as kept:
        network(images)
    assert kept[""].shape == (2, 6)


def test_means_are_taken_over_places_wherever_the_channels_are():
    first = torch.rand(2, 5, 4, 4)
    expected = first.mean((2, 3))
    for features in (first, first.permute(0, 2, 3, 1), first.flatten(2).mT, expected):
        torch.testing.assert_close(pooled(features), expected)


def test_the_last_linear_layer_is_the_one_that_is_called_last():
    assert last_linear(Tokens(), torch.rand(1, 3, 16, 16))[0] == "heads.0"
