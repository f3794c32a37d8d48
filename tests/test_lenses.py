"""Chains that the network sees through low-passes."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from fig.lenses import draw_lenses, see, smooth
from fig.sampler import sample
from fig.settings import SamplerSettings

SIDE = 8
SHAPE = (3, SIDE, SIDE)


def again(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def through(images: Tensor, deviation: float) -> Tensor:
    """All images through one low-pass."""
    return see(images, draw_lenses([deviation], torch.arange(len(images)), *images.shape[-2:]))


def steps_of(number: int, *smoothing: float) -> SamplerSettings:
    """Steps in proportion to the gradient: rounding cannot turn one round, as it can a sign."""
    return SamplerSettings(min_steps=number, max_steps=number, smoothing=smoothing, direction="gradient")


class Looking(nn.Module):
    """A network behind a low-pass."""

    def __init__(self, network: nn.Module, deviation: float) -> None:
        super().__init__()
        self.network, self.deviation = network, deviation

    def forward(self, images: Tensor) -> Tensor:
        return self.network(through(images, self.deviation))


@pytest.mark.parametrize("deviation", [2.0, 3.5])
def test_a_lens_is_scipys_gaussian_filter_times_what_keeps_the_variance_of_white_noise(deviation: float):
    noise = torch.randn(200, 3, 32, 20, generator=again()) / 10  # nothing is clipped
    seen = through(noise, deviation)
    filtered = gaussian_filter(noise.numpy(), deviation, mode="wrap", axes=(2, 3), truncate=6)
    factor = np.vdot(filtered, seen.numpy()) / np.vdot(filtered, filtered)
    assert np.allclose(seen.numpy(), factor * filtered, atol=2e-3)
    assert seen.std().item() == pytest.approx(noise.std().item(), rel=0.03)


def test_smoothing_halves_amplitudes_at_its_frequency():
    waves = torch.cos(2 * torch.pi * torch.arange(32) / torch.tensor([[4], [8]]))[:, None, None].expand(2, 3, 32, 32)
    torch.testing.assert_close(smooth(waves, 1 / 4), waves * torch.tensor([1 / 2, 1 / 2**0.25]).reshape(2, 1, 1, 1))
    torch.testing.assert_close(smooth(waves, torch.tensor([1 / 4, 1 / 8]).reshape(2, 1, 1, 1)), waves / 2)


def test_no_deviation_is_no_lens_and_what_is_seen_stays_in_range():
    noise = torch.rand(2, *SHAPE, generator=again()) * 2 - 1
    assert draw_lenses([], torch.arange(2), SIDE, SIDE) is None and draw_lenses([0, 0], torch.arange(2), 8, 8) is None
    same, seen = see(noise, draw_lenses([0, 3], torch.arange(2), SIDE, SIDE))
    assert torch.allclose(same, noise[0], atol=1e-6)
    assert seen.abs().max() == 1 and not torch.allclose(seen, noise[1], atol=0.1)


def test_samples_through_a_lens_are_those_of_a_network_behind_it(linear: nn.Module):
    found = sample(linear, 5, SHAPE, steps_of(6, 2.0), again())
    behind = sample(Looking(linear, 2.0), 5, SHAPE, steps_of(6), again())
    assert torch.allclose(found.images, through(behind.images, 2.0), atol=1e-5)
    assert torch.allclose(found.confidence, behind.confidence, atol=1e-5)
    assert torch.allclose(found.confidence, linear(found.images).softmax(dim=1).amax(dim=1), atol=1e-5)


def test_chains_take_the_lenses_in_turn_and_workers_share_them(linear: nn.Module):
    rough, blurred, both = (sample(linear, 6, SHAPE, steps_of(4, *each), again()) for each in ((), (2.0,), (0.0, 2.0)))
    assert torch.allclose(both.images[::2], rough.images[::2], atol=1e-5)
    assert torch.allclose(both.images[1::2], blurred.images[1::2], atol=1e-5)
    rows = torch.tensor([1, 4, 5])
    mine = sample(linear, 6, SHAPE, steps_of(4, 0.0, 2.0), again(), rows)
    assert torch.allclose(mine.images, both.images[rows], atol=1e-6)


def test_a_network_becomes_surer_of_what_it_sees_through_a_lens(linear: nn.Module):
    start, end = (sample(linear, 20, SHAPE, steps_of(number, 2.0), again()).confidence for number in (0, 30))
    assert end.mean() > start.mean() + 0.1


def test_when_ended_chains_leave_the_batch_their_lenses_leave_with_them(linear: nn.Module):
    settings = SamplerSettings(smoothing=(0.0, 1.0, 3.0), min_steps=1, window=1, tolerance=0.05, max_steps=40)
    often, seldom = (sample(linear, 9, SHAPE, settings, again(), stride=stride) for stride in (1, 40))
    assert len(often.steps.unique()) > 1
    assert torch.equal(often.steps, seldom.steps) and torch.allclose(often.images, seldom.images, atol=1e-5)
