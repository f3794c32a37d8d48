"""ACET and CEDA against closed forms, SciPy and brute force."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from fig.methods.acet import Acet, climb, draw_noise, draw_start, largest_log_probability, lowpass, stretch
from fig.methods.batch import Batch
from fig.methods.protocol import NETWORK
from fig.objectives import cross_entropy

BLACK, UNIT = torch.tensor([-1.0, -2.0, 0.0]).view(3, 1, 1), torch.tensor([2.0, 3.0, 0.5]).view(3, 1, 1)


@pytest.fixture
def batch(generator: torch.Generator) -> Batch:
    images = BLACK + torch.rand(6, 3, 8, 8, generator=generator) * UNIT
    return Batch(images, torch.tensor([0, 1, 2, 3, 0, 1]), BLACK, UNIT)


@pytest.mark.parametrize(("size", "deviation"), [(32, 1.0), (17, 2.5), (4, 1.7)])
def test_the_low_pass_is_scipys_gaussian_filter(size: int, deviation: float, generator: torch.Generator):
    image = torch.rand(size, size, generator=generator, dtype=torch.float64)
    matrix = lowpass(size, torch.tensor([deviation], dtype=torch.float64))
    expected = gaussian_filter(image.numpy(), deviation, mode="reflect", truncate=7.4 / deviation)  # 7 pixels away
    np.testing.assert_allclose((matrix @ image @ matrix.T).numpy(), expected, rtol=1e-9)


def test_noise_is_half_permuted_pixels_half_uniform_and_of_the_full_range(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
):
    noise = draw_noise(batch, torch.Generator())
    assert noise.shape == batch.whole.shape
    assert noise.amin((1, 2, 3)).tolist() == [0] * 6 and noise.amax((1, 2, 3)).tolist() == [1] * 6
    monkeypatch.setattr("fig.methods.acet.lowpass", lambda size, deviation: torch.eye(size))
    rough = draw_noise(batch, torch.Generator())
    images = stretch((batch.whole - BLACK) / UNIT)
    for before, after in zip(images[:3], rough[:3], strict=True):
        colours = [sorted(map(tuple, each.flatten(1).T.tolist())) for each in (before, after)]
        torch.testing.assert_close(*map(torch.tensor, colours))  # whole pixels, all channels of them
    assert not torch.isclose(rough[3:].flatten().sort().values, images[3:].flatten().sort().values).all()


def test_an_image_of_one_colour_is_no_division_by_zero():
    assert stretch(torch.full((1, 3, 2, 2), 0.7)).eq(0).all()


def test_ascents_begin_within_the_ball_at_every_distance(generator: torch.Generator):
    pixels = torch.full((400, 3, 8, 8), 0.5)
    distances = (draw_start(pixels, 0.3, generator) - pixels).abs().amax((1, 2, 3))  # nearly the radius drawn
    assert distances.max() <= 0.3
    assert np.quantile(distances.numpy(), [0.25, 0.5, 0.75]) == pytest.approx([0.075, 0.15, 0.225], abs=0.03)


@pytest.mark.parametrize("steps", [1, 40])
def test_an_ascent_of_a_linear_network_ends_where_its_constant_gradient_leads(
    steps: int, linear: nn.Module, generator: torch.Generator
):
    two = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)).double()
    pixels = torch.rand(20, 3, 8, 8, generator=generator, dtype=torch.float64)
    begin = draw_start(pixels, 0.3, generator)

    def score(images: Tensor) -> Tensor:
        return largest_log_probability(two(images))

    found = climb(score, pixels, begin, 0.3, steps)
    weight = (two[1].weight[1] - two[1].weight[0]).view(3, 8, 8)
    towards = two(begin).diff(dim=1).sign()[:, :, None, None] * weight.sign()  # of the class predicted at the start
    ends = (begin + 0.3 * towards).clamp(0, 1)
    ends = torch.maximum(torch.minimum(ends, pixels + 0.3), pixels - 0.3)
    expected = torch.where((score(ends) > score(pixels))[:, None, None, None], ends, pixels)
    torch.testing.assert_close(found, expected.detach())


def test_an_ascent_is_the_best_of_all_that_it_saw(generator: torch.Generator):
    pixels, seen = torch.rand(5, 1, 2, 2, generator=generator), []

    def score(images: Tensor) -> Tensor:  # so rough that steps overshoot
        seen.append(images.detach().clone())
        return (40 * images).sin().sum((1, 2, 3))

    found = climb(score, pixels, draw_start(pixels, 0.3, generator), 0.3, 7)
    whole = torch.stack(seen)  # noise, start and seven steps
    assert len(whole) == 9 and whole.min() >= 0 and whole.max() <= 1
    assert (whole - pixels).abs().max() <= 0.3 + 1e-6
    values = (40 * whole).sin().sum((2, 3, 4))  # (9, 5)
    assert found.equal(whole[values.argmax(0), torch.arange(5)])


def test_the_loss_of_ceda_is_the_sum_over_images_of_both_kinds_by_their_number(linear: nn.Module, batch: Batch):
    (loss,) = Acet(steps=0).losses({NETWORK: linear}, batch, torch.Generator())
    noise = BLACK + draw_noise(batch, torch.Generator()) * UNIT
    highest = [row.softmax(0).max().log() for row in linear(noise)]
    expected = (cross_entropy(linear(batch.whole), batch.labels) * 6 + sum(highest)) / 12
    torch.testing.assert_close(loss.value, expected)


def test_acet_lessens_a_larger_confidence_than_ceda_on_the_same_noise(linear: nn.Module, batch: Batch):
    (ceda,), (acet,) = (Acet(steps=steps).losses({NETWORK: linear}, batch, torch.Generator()) for steps in (0, 10))
    assert (acet.row["generated_confidence"] > ceda.row["generated_confidence"]).all()
    half = replace(batch, rank=1, workers=2)
    (part,) = Acet(steps=10).losses({NETWORK: linear}, half, torch.Generator())
    torch.testing.assert_close(part.row["generated_confidence"], acet.row["generated_confidence"][1::2])
