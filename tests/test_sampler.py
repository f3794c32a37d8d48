"""The sampler against Eq. 18 written out, by its limits, and by what chains must not know of each other."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from scipy.stats import ks_2samp
from torch import nn

from fig import langevin
from fig.discriminator import Discriminator
from fig.energy import confidence, energy
from fig.langevin import (
    backward,
    draw_noise,
    have_converged,
    initial,
    logits_and_gradient,
    must_stop,
    start_chains,
    step,
    step_size_at,
    stopping_steps,
)
from fig.sampler import advance, device_of, prepare_network, sample
from fig.settings import SamplerSettings

SHAPE = (3, 8, 8)
QUIET = SamplerSettings(noise="none")


def again() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def images_energy(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return energy(network(images))


def test_a_step_is_equation_18_written_out(linear: nn.Module):
    settings = SamplerSettings()
    state = initial(5, SHAPE, settings, again(), torch.arange(5))
    images = state.images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(images_energy(linear, images).sum(), images)
    noise = torch.randn((5, *SHAPE), generator=again())
    expected = (state.images - 0.1 / 2 * gradient.sign() + 0.1**0.5 * noise).clamp(-1, 1)
    after, info = step(linear, state, draw_noise(state, again()), settings)
    torch.testing.assert_close(after.images, expected)
    torch.testing.assert_close(info.confidence, confidence(linear(state.images)).detach())
    torch.testing.assert_close(info.energy, images_energy(linear, state.images).detach())


def test_a_step_changes_nothing_that_it_was_given_and_gives_no_graph(linear: nn.Module):
    for settings in (SamplerSettings(), SamplerSettings(min_steps=0, max_steps=0)):
        state = initial(5, SHAPE, settings, again(), torch.arange(5))
        before = {name: value.clone() for name, value in vars(state).items() if isinstance(value, torch.Tensor)}
        after, info = step(linear, state, draw_noise(state, again()), settings)
        assert all(value.equal(getattr(state, name)) for name, value in before.items() if name != "recent")
        tensors = [value for each in (state, after, info) for value in vars(each).values() if hasattr(value, "grad_fn")]
        assert not any(value.requires_grad for value in tensors)
        for frozen in (state, info, sample(linear, 1, SHAPE, settings, again())):
            with pytest.raises(FrozenInstanceError):
                frozen.confidence = None


def test_sampling_is_the_same_where_gradients_are_off(linear: nn.Module):
    with torch.no_grad():
        off = sample(linear, 3, SHAPE, SamplerSettings(), again())
    assert off.images.equal(sample(linear, 3, SHAPE, SamplerSettings(), again()).images)


def test_the_step_size_decays_by_a_tenth_every_hundred_steps():
    sizes = [step_size_at(SamplerSettings(), step) for step in (0, 99, 100, 199, 200)]
    assert sizes == pytest.approx([0.1, 0.1, 0.09, 0.09, 0.081])


@pytest.mark.parametrize(("noise", "deviation"), [("variance", 0.1**0.5), ("deviation", 0.1), ("none", 0.0)])
def test_noise_has_the_deviation_of_its_reading(noise: str, deviation: float):
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))  # zero weights: the gradient vanishes
    nn.init.zeros_(flat[1].weight)
    settings = SamplerSettings(noise=noise)
    state = initial(16, (3, 32, 32), settings, again(), torch.arange(16))
    still = replace(state, images=torch.zeros_like(state.images))
    moved = step(flat, still, draw_noise(still, again()), settings)[0].images
    assert moved.std().item() == pytest.approx(deviation, rel=0.02)
    assert moved.mean().item() == pytest.approx(0, abs=0.005)


def test_without_noise_small_steps_lower_the_energy_of_every_chain(linear: nn.Module):
    settings = replace(QUIET, step_size=0.01, min_steps=100)
    state = initial(20, SHAPE, settings, again(), torch.arange(20))
    for _ in range(30):
        after, info = step(linear, state, draw_noise(state, again()), settings)
        inside = (after.images.abs() < 1).flatten(1).any(dim=1)
        fell = images_energy(linear, after.images) < info.energy
        assert (fell | ~inside).all()
        state = after


def test_chains_start_uniform_and_stay_in_range(linear: nn.Module, generator: torch.Generator):
    start = initial(200, SHAPE, SamplerSettings(), generator, torch.arange(200)).images
    assert start.min() >= -1 and start.max() <= 1
    assert start.var().item() == pytest.approx(1 / 3, rel=0.02)
    images = sample(linear, 10, SHAPE, SamplerSettings(step_size=1), generator).images
    assert images.min() >= -1 and images.max() <= 1


def test_chain_is_independent_of_its_neighbours(linear: nn.Module):
    together = sample(linear, 12, SHAPE, SamplerSettings(), again())
    assert together.steps.unique().numel() > 1  # chains did end at different steps
    alone = sample(linear, 12, SHAPE, SamplerSettings(), again(), chains=torch.tensor([9, 4]))
    torch.testing.assert_close(alone.images, together.images[[4, 9]])
    assert alone.steps.equal(together.steps[[4, 9]])


@pytest.mark.parametrize("stride", [2, 7])
def test_when_ended_chains_leave_the_batch_changes_nothing(linear: nn.Module, stride: int):
    often = sample(linear, 12, SHAPE, SamplerSettings(), again(), stride=1)
    rarely = sample(linear, 12, SHAPE, SamplerSettings(), again(), stride=stride)
    assert often.steps.equal(rarely.steps) and often.steps.unique().numel() > 1
    for name in ("images", "confidence", "energy"):
        torch.testing.assert_close(getattr(often, name), getattr(rarely, name))


def test_equal_settings_give_equal_bits(small: Discriminator):
    first, second = (sample(small.network, 12, (3, 16, 16), SamplerSettings(), again()) for _ in range(2))
    assert first.images.equal(second.images) and first.energy.equal(second.energy)


def signs(network: nn.Module, settings: SamplerSettings) -> torch.Tensor:
    images = initial(64, (3, 16, 16), settings, again(), torch.arange(64)).images
    with prepare_network(network, images, settings):
        return logits_and_gradient(network, images, settings.c)[1].sign()


@pytest.mark.slow
def test_folding_and_bfloat16_change_few_signs_and_no_mean(small: Discriminator, monkeypatch: pytest.MonkeyPatch):
    """A thousand chains: the mean confidence within 0.01, and within 0.1 % and 15 % of the gradient's signs."""
    network = small.network
    network.train()(torch.rand(32, 3, 16, 16) * 2 - 1)  # moves the running statistics
    ways = {"folded": SamplerSettings(), "bfloat16": SamplerSettings(precision="bfloat16")}
    found = {
        name: (signs(network, way), sample(network, 1000, (3, 16, 16), way, again())) for name, way in ways.items()
    }
    monkeypatch.setattr("fig.sampler.fold_network", lambda network, images, dtype: nullcontext(network))
    plain = signs(network, SamplerSettings()), sample(network, 1000, (3, 16, 16), SamplerSettings(), again())
    for name, share in (("folded", 0.001), ("bfloat16", 0.15)):
        assert (found[name][0] != plain[0]).float().mean() < share, name
        assert found[name][1].confidence.mean().item() == pytest.approx(plain[1].confidence.mean().item(), abs=0.01)
        assert ks_2samp(found[name][1].confidence, plain[1].confidence).pvalue > 0.01, name
        spread = plain[1].energy.std().item()
        assert found[name][1].energy.mean().item() == pytest.approx(plain[1].energy.mean().item(), abs=0.1 * spread)


def test_a_prepared_network_has_its_batch_norms_folded_and_computes_in_the_wanted_precision(small: Discriminator):
    images, weight = torch.zeros(1, 3, 16, 16), small.network.conv1.weight
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        settings = SamplerSettings(precision=precision)
        with prepare_network(small.network, images, settings) as network:
            assert network.conv1.weight is not weight and network(images).dtype == dtype
            logits, gradient = logits_and_gradient(network, images, settings.c)
            assert logits.dtype == gradient.dtype == torch.float32


@pytest.mark.parametrize("stop", ["batch", "chain"])
def test_a_chain_is_given_no_direction_where_it_ends(stop: str, linear: nn.Module, monkeypatch: pytest.MonkeyPatch):
    directions: list[int] = []

    def counted(leaf: torch.Tensor, *given) -> torch.Tensor:
        directions.append(len(leaf))
        return backward(leaf, *given)

    monkeypatch.setattr(langevin, "backward", counted)
    settings = SamplerSettings(stop=stop, min_steps=4, max_steps=9, window=1, tolerance=2.0, confident=0.0)
    assert sample(linear, 6, SHAPE, settings, again()).steps.tolist() == [4] * 6
    assert directions == [6] * 4


@pytest.mark.parametrize("settings", [SamplerSettings(), SamplerSettings(max_steps=10)])
def test_samples_are_described_as_the_discriminator_sees_them(linear: nn.Module, settings: SamplerSettings):
    samples = sample(linear, 12, SHAPE, settings, again())
    logits = linear(samples.images).detach()
    torch.testing.assert_close(samples.confidence, confidence(logits))
    torch.testing.assert_close(samples.energy, energy(logits))
    assert samples.predicted.equal(logits.argmax(dim=1))


def test_a_chain_stops_when_its_confidence_has_converged_between_10_and_100_steps(linear: nn.Module):
    steps = sample(linear, 64, SHAPE, SamplerSettings(), again()).steps
    assert steps.min() >= 10 and steps.max() <= 100
    assert sample(linear, 5, SHAPE, SamplerSettings(tolerance=1e-9), again()).steps.eq(100).all()
    assert sample(linear, 5, SHAPE, SamplerSettings(tolerance=10), again()).steps.eq(10).all()


def test_convergence_compares_the_means_of_two_windows():
    settings = SamplerSettings(window=2, tolerance=0.1)
    recent = torch.tensor([[0.5, 0.7, 0.7, 0.55], [0.2, 0.4, 0.6, 0.8], [torch.nan, 0.5, 0.5, 0.5]])
    assert have_converged(recent, settings).tolist() == [True, False, False]


def test_means_that_differ_by_the_tolerance_have_not_converged():
    recent = torch.tensor([[0.5, 0.75], [0.75, 0.5], [0.5, 0.625]])
    assert have_converged(recent, SamplerSettings(window=1, tolerance=0.25)).tolist() == [False, False, True]


def test_chains_stop_at_the_most_steps_and_not_before_the_fewest():
    settings = SamplerSettings(min_steps=3, max_steps=5, window=1, tolerance=0.1)
    same, apart = torch.full((2, 2), 0.5), torch.tensor([[0.1, 0.9], [0.9, 0.1]])
    found = {steps: must_stop(same, same[:, 1], steps, settings).tolist() for steps in range(2, 6)}
    assert found == {2: [False] * 2, 3: [True] * 2, 4: [True] * 2, 5: [True] * 2}
    found = {steps: must_stop(apart, apart[:, 1], steps, settings).tolist() for steps in range(2, 6)}
    assert found == {2: [False] * 2, 3: [False] * 2, 4: [False] * 2, 5: [True] * 2}


def test_the_authors_rule_asks_for_a_mean_above_its_confidence():
    settings = SamplerSettings(stop="batch", confident=0.5, min_steps=0)
    for confidences, stop in (([0.25, 0.75], False), ([0.25, 0.875], True)):
        assert must_stop(torch.zeros(2, 10), torch.tensor(confidences), 1, settings).tolist() == [stop, stop]


def test_a_chain_that_was_followed_stops_where_it_first_would_have():
    settings = SamplerSettings(min_steps=2, max_steps=10, window=1, tolerance=0.1)
    followed = torch.tensor(
        [[0.5, 0.5, 0.5, 0.9, 0.9, 0.1], [0.1, 0.5, 0.9, 0.9, 0.1, 0.9], [0.1, 0.9, 0.1, 0.9, 0.1, 0.9]]
    )
    assert stopping_steps(followed, settings).tolist() == [2, 3, 5]


def test_the_authors_rule_stops_the_whole_batch_at_a_mean_confidence(linear: nn.Module):
    settings = SamplerSettings(stop="batch", confident=0.6, min_steps=0, max_steps=1000, noise="deviation")
    samples = sample(linear, 8, SHAPE, settings, again())
    assert samples.steps.unique().numel() == 1 and 0 < samples.steps[0] < 1000
    assert samples.confidence.mean() > 0.6


def test_sampling_leaves_the_discriminator_exactly_as_it_was(small: Discriminator, generator: torch.Generator):
    small.train()
    small.network.fc.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in small.state_dict().items()}
    flags = [(module.training) for module in small.modules()], [p.requires_grad for p in small.parameters()]
    sample(small.network, 4, (3, 16, 16), SamplerSettings(max_steps=12), generator)
    assert all(value.equal(before[name]) for name, value in small.state_dict().items())
    assert flags == ([module.training for module in small.modules()], [p.requires_grad for p in small.parameters()])
    assert all(p.grad is None for p in small.parameters())


def test_the_discriminator_is_restored_after_an_error(generator: torch.Generator):
    network = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(3 * 8 * 8, 2))
    nn.init.constant_(network[2].weight, float("nan"))
    with pytest.raises(FloatingPointError, match="step 0: logits or gradients of 3 of 3 chains are not finite"):
        sample(network, 3, SHAPE, SamplerSettings(), generator)
    assert network.training and network[1].training and network[2].weight.requires_grad


def root(images: torch.Tensor) -> torch.Tensor:
    """Two logits, whose gradient is not a number in the chains that start at a dark pixel."""
    pixels = images.flatten(1)[:, :2]
    return (0 * pixels + (pixels[:, :1] >= 0)).sqrt()


def one_logit(images: torch.Tensor) -> torch.Tensor:
    """Two logits, of which one is not a number in the chains that start at a dark pixel."""
    pixels = images.flatten(1)[:, :2]
    return torch.cat([pixels[:, :1], torch.where(pixels[:, 1:] < 0, torch.nan, 0.0)], dim=1)


@pytest.mark.parametrize(("broken", "pixel"), [(root, 0), (one_logit, 1)])
def test_chains_whose_logits_or_gradients_break_are_counted(broken: Callable, pixel: int):
    images = torch.zeros(3, *SHAPE)
    images[1, 0, 0, pixel] = -0.5
    state = start_chains(images, QUIET, 3, torch.arange(3))
    with pytest.raises(FloatingPointError, match="step 0: logits or gradients of 1 of 3 chains"):
        next(advance(Called(broken), state, QUIET, again()))


class Called(nn.Module):
    """A network that is a function, and counts its calls."""

    def __init__(self, function: Callable) -> None:
        super().__init__()
        self.function, self.calls = function, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.function(images)


def test_a_chain_that_broke_between_two_looks_is_not_forgotten(linear: nn.Module):
    broken = Called(lambda images: linear(images) * (torch.nan if broken.calls == 2 else 1))
    state = start_chains(torch.zeros(2, *SHAPE), QUIET, 2, torch.arange(2))
    with pytest.raises(FloatingPointError, match="logits or gradients of 2 of 2 chains"):
        next(advance(broken, state, QUIET, again(), stride=4))


def test_chains_of_no_steps_need_no_gradient_and_stay_where_they_started(linear: nn.Module):
    settings = SamplerSettings(min_steps=0, max_steps=0)
    blind = Called(lambda images: linear(images).detach())
    samples = sample(blind, 4, SHAPE, settings, again())
    assert samples.images.equal(initial(4, SHAPE, settings, again(), torch.arange(4)).images)
    assert samples.steps.tolist() == [0] * 4


def test_chains_may_start_at_the_ends_of_the_range(linear: nn.Module):
    images = torch.cat([torch.ones(1, *SHAPE), -torch.ones(1, *SHAPE)])
    assert start_chains(images, QUIET, 2, torch.arange(2)).images.equal(images)


def test_a_network_without_weights_is_sampled_and_one_sample_too():
    samples = sample(Called(lambda images: images.flatten(1)[:, :3]), 1, SHAPE, SamplerSettings(), again())
    assert samples.images.shape == (1, *SHAPE)


def test_chains_move_where_the_weights_are():
    assert device_of(nn.Linear(1, 1, device="meta"), again()) == torch.device("meta")
    assert device_of(nn.Flatten(), again()) == torch.device("cpu")


def test_what_cannot_be_sampled_is_refused_by_name(linear: nn.Module, generator: torch.Generator):
    with pytest.raises(ValueError, match="0 samples were asked for"):
        sample(linear, 0, SHAPE, SamplerSettings(), generator)
    with pytest.raises(ValueError, match="at least one is needed"):
        sample(linear, 3, SHAPE, SamplerSettings(), generator, chains=torch.arange(0))
    for wrong in (nn.Identity(), nn.Flatten(0), nn.Flatten(0, 2)):
        with pytest.raises(ValueError, match=r"logits have shape \([\d, ]+\), not \(batch, classes\)"):
            sample(wrong, 3, SHAPE, SamplerSettings(), generator)
    with pytest.raises(ValueError, match=r"step_size is 0: it must be above 0"):
        SamplerSettings(step_size=0)
    with pytest.raises(ValueError, match=r"min_steps is 20"):
        SamplerSettings(min_steps=20, max_steps=10)
