"""Heads that normalise in training: against their formulas, and that nothing else notices them."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fig.data.arrays import Split
from fig.data.batches import images_at
from fig.detectors.library import LibraryDetector, build_object
from fig.discriminator import Architecture, Discriminator
from fig.evaluation import scores, subject_of
from fig.folding import fold_network, pairs
from fig.frozen import frozen
from fig.networks.heads import NORMALISED, last_linear, weights_of, with_head
from fig.networks.taps import Tap, tap_modules


def headed(head: str) -> Discriminator:
    return Discriminator(Architecture("resnet18", classes=3, size=16, width=1 / 16, head=head), seed=3)


def by_hand(head: str, features: Tensor, linear: nn.Linear, training: bool) -> Tensor:
    """The logits of a head that normalises, as its authors compute them, one image at a time."""
    rows = []
    for row in features:
        if head == "t2fnorm":
            row = row / (max(row.square().sum().sqrt(), 1e-12) if training else 1) / 0.1
        if head == "ascood":
            mean = row.sum() / len(row)
            deviation = ((row - mean).square().sum() / (len(row) - 1)).sqrt()
            row = 0.5 * ((row - mean) / (deviation + 1e-6) if training else row)
        logits = linear.weight @ row + linear.bias
        if head == "logitnorm" and training:
            logits = logits / (logits.square().sum().sqrt() + 1e-7) / 0.04
        rows.append(logits)
    return torch.stack(rows)


@pytest.mark.parametrize("head", NORMALISED)
def test_a_head_that_normalises_keeps_the_plain_networks_weights_and_names(head: str):
    plain, found = headed("linear").network.state_dict(), headed(head).network.state_dict()
    assert list(plain) == list(found) and all(value.equal(found[name]) for name, value in plain.items())


@pytest.mark.parametrize("head", NORMALISED)
@pytest.mark.parametrize("training", [True, False])
def test_a_head_normalises_in_training_and_not_in_testing(head: str, training: bool, generator: torch.Generator):
    network = headed(head).network.train(training)
    images = torch.randn(4, 3, 16, 16, generator=generator)
    name, linear = last_linear(network, images)
    with torch.no_grad(), tap_modules(network, {"": Tap(name, given=True)}) as kept:
        logits = network(images)
    features = kept[""]
    assert features.shape == (4, linear.in_features)  # as the network makes them: what detectors look at
    torch.testing.assert_close(logits, by_hand(head, features, linear, training), rtol=1e-4, atol=1e-5)
    if not training:
        weights, biases = weights_of(linear)
        torch.testing.assert_close(nn.functional.linear(features, weights, biases), logits, rtol=1e-4, atol=1e-5)


def test_a_head_takes_a_linear_layer_without_biases(generator: torch.Generator):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3, bias=False))
    images = torch.randn(4, 3, 2, 2, generator=generator)
    before = network(images)
    torch.testing.assert_close(with_head(network, "logitnorm", images).eval()(images), before)
    assert network[1].bias is None and not weights_of(network[1])[1].any()


@pytest.mark.parametrize("head", NORMALISED)
def test_a_network_with_a_head_that_normalises_is_folded_as_any(head: str, generator: torch.Generator):
    network, images = headed(head).network, torch.randn(4, 3, 16, 16, generator=generator)
    with frozen(network), torch.no_grad():
        plain = network(images)
        assert pairs(network, images)
        with fold_network(network, images) as quick:
            torch.testing.assert_close(quick(images), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", NORMALISED)
def test_detectors_that_ask_for_the_weights_of_logits_are_given_those_of_testing(head: str, stripes: Split):
    pytest.importorskip("pytorch_ood")
    discriminator = Discriminator(Architecture("resnet18", classes=2, size=16, width=1 / 16, head=head), seed=3).eval()
    vim = LibraryDetector(name="pytorch_ood.detector.ViM", arguments={"d": 4})
    images = images_at(stripes, torch.arange(40))
    with torch.no_grad(), tap_modules(discriminator.network, {"": Tap("fc", given=True)}) as kept:
        logits = discriminator(images)
    made = build_object(vim, subject_of(discriminator))
    weights, biases = (torch.as_tensor(value) for value in (made.w, made.b))
    torch.testing.assert_close(kept[""] @ weights.T + biases, logits, rtol=1e-4, atol=1e-5)
    assert np.isfinite(scores(vim, discriminator, stripes)).all()


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("onnxscript"), reason="exports need the packages of the extra `export`")
@pytest.mark.parametrize("head", NORMALISED)
def test_a_network_with_a_head_that_normalises_is_exported_as_it_tests(head: str, tmp_path: Path):
    from fig.export import Decision, export_network

    found = export_network(headed(head).network.train(), tmp_path / "out", (3, 16, 16), Decision("baseline", 0.0))
    assert found.onnx.exists() and found.difference < 1e-4
