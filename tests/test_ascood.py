"""ASCOOD against closed forms and brute force."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fig.discriminator import Architecture, Discriminator
from fig.methods.ascood import Ascood, saliency, shuffle
from fig.methods.batch import Batch
from fig.methods.protocol import NETWORK
from fig.objectives import cross_entropy

LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


@pytest.fixture
def batch(generator: torch.Generator) -> Batch:
    corner = torch.zeros(3, 1, 1)
    return Batch(torch.rand(6, 3, 8, 8, generator=generator), LABELS, corner, corner + 1)


def pixels(image: Tensor) -> list[tuple[float, ...]]:
    return [tuple(pixel) for pixel in image.flatten(1).T.tolist()]


def test_a_linear_networks_saliency_is_its_classes_weights(linear: nn.Module, batch: Batch):
    weights = linear[1].weight.view(4, 3, 8, 8)[LABELS]
    torch.testing.assert_close(saliency(linear, batch.inputs, LABELS), (weights.exp() - 1).sum(1))


def test_pixels_of_the_largest_saliency_change_places_and_no_others(generator: torch.Generator):
    images = torch.rand(5, 3, 4, 6, generator=generator)
    importance = torch.rand(5, 4, 6, generator=generator)
    order = torch.rand(5, 7, generator=generator).argsort(1)
    for image, moved, weights, places in zip(
        images, shuffle(images, importance, order), importance, order, strict=True
    ):
        expected, by_weight = pixels(image), sorted(range(24), key=lambda i: -weights.flatten()[i].item())
        before = list(expected)
        for to, source in enumerate(places.tolist()):
            expected[by_weight[to]] = before[by_weight[source]]
        assert pixels(moved) == expected and sorted(expected) == sorted(before) and expected != before


@pytest.mark.parametrize("weight", [0.0, 1.0, 5.0])
def test_the_loss_is_that_of_torchs_divergence_on_the_outliers_that_a_loop_makes(
    weight: float, linear: nn.Module, batch: Batch
):
    (loss,) = Ascood(weight=weight, share=0.25).losses({NETWORK: linear}, batch, torch.Generator())
    order = torch.rand(6, 16, generator=torch.Generator()).argsort(1)
    outliers = shuffle(batch.inputs, saliency(linear, batch.inputs, LABELS), order)
    assert not outliers.equal(batch.inputs)
    uniform, log_q = torch.full((6, 4), 0.25), linear(outliers).log_softmax(1)
    divergence = nn.functional.kl_div(log_q, uniform, reduction="batchmean")
    torch.testing.assert_close(loss.value, cross_entropy(linear(batch.inputs), LABELS) + weight * divergence)


def test_workers_make_the_outliers_of_one(linear: nn.Module, batch: Batch):
    (whole,), (part,) = (
        Ascood().losses({NETWORK: linear}, each, torch.Generator())
        for each in (batch, replace(batch, rank=1, workers=2))
    )
    torch.testing.assert_close(part.row["generated_energy"], whole.row["generated_energy"][1::2])


def test_the_head_normalises_while_saliency_is_found_and_the_batch_norms_do_not_move(generator: torch.Generator):
    network = Discriminator(Architecture("resnet18", classes=4, size=16, width=1 / 16, head="ascood")).network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images, seen = torch.rand(6, 3, 16, 16, generator=generator), []
    network.fc.register_forward_hook(lambda module, given, logits: seen.append((module.training, network.bn1.training)))
    saliency(network, images, LABELS)
    assert seen == [(True, False)] and network.training and network.bn1.training
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
