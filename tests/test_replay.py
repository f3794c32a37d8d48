"""Chains whose steps are replayed over tensors at fixed places end where steps taken one by one lead, to the bit."""

import gc
from collections.abc import Callable, Sequence
from weakref import ref

import pytest
import torch
from torch import Tensor, nn

from fig import sampler
from fig.discriminator import Discriminator
from fig.frozen import frozen
from fig.replay import MOST, Recording, Recordings, addresses_of, recordings_of
from fig.sampler import Samples, batch_for, prepare_network, sample
from fig.settings import SamplerSettings

SHAPE = (3, 16, 16)
RULES = {
    "by itself": SamplerSettings(),
    "by itself, early": SamplerSettings(min_steps=3, window=1, tolerance=0.05, max_steps=40),
    "the whole batch": SamplerSettings(stop="batch", min_steps=0, confident=0.6, noise="deviation", max_steps=60),
    "after as many steps": SamplerSettings(min_steps=7, max_steps=7),
    "without a step": SamplerSettings(min_steps=0, max_steps=0),
    "as its steps become smaller": SamplerSettings(min_steps=13, max_steps=23, decay_period=4, decay=0.5),
    "through lenses, early": SamplerSettings(
        smoothing=(0.0, 2.0), radius=0.5, min_steps=3, window=1, tolerance=0.05, max_steps=40
    ),
    "in bfloat16": SamplerSettings(precision="bfloat16", max_steps=30),
}


def again() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def keep_first(recording: Recording, function: object, body: Callable[[], None]) -> Callable[[], None]:
    """Like a CUDA graph: what was recorded first is repeated, whatever is asked for later."""
    return body


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sampling as on a GPU; the names of what was run, as often as it was."""
    names: list[str] = []
    run = Recording.run

    def noted(recording: Recording, name: str, function: Callable) -> None:
        names.append(name)
        run(recording, name, function)

    monkeypatch.setattr(sampler, "replays_on", lambda device: True)
    monkeypatch.setattr(sampler, "FEW", 3)
    monkeypatch.setattr(Recording, "record", keep_first)
    monkeypatch.setattr(Recording, "run", noted)
    return names


def assert_equal(first: Samples, second: Samples) -> None:
    assert all(value.equal(getattr(second, name)) for name, value in vars(first).items())


def moved(network: nn.Module, settings: SamplerSettings) -> Samples:
    """Samples of chains that are watched, whose steps are therefore taken one by one."""
    return sample(network, 12, SHAPE, settings, again(), watch=lambda state, info: None)


@pytest.mark.parametrize("rule", RULES)
def test_chains_that_are_replayed_end_where_they_would_step_by_step(rule: str, small: Discriminator, replayed: list):
    network, settings = small.network, RULES[rule]
    network.train()(2 * torch.rand(64, *SHAPE, generator=again()) - 1)
    expected = moved(network, settings)
    assert not replayed
    assert_equal(sample(network, 12, SHAPE, settings, again()), expected)
    assert len(replayed) == min(5 * -(-(int(expected.steps.max()) + 1) // 5), settings.max_steps + 1)
    assert_equal(sample(network, 12, SHAPE, settings, again()), expected)  # nothing new is recorded


@pytest.mark.parametrize("rule", RULES)
def test_a_gpus_batches_change_no_more_than_rounding(
    rule: str, linear: nn.Module, replayed: list, monkeypatch: pytest.MonkeyPatch
):
    settings, shape = RULES[rule], (3, 8, 8)
    there = sample(linear, 12, shape, settings, again())
    monkeypatch.undo()
    here = sample(linear, 12, shape, settings, again())
    assert here.steps.equal(there.steps)
    torch.testing.assert_close(here.images, there.images)
    torch.testing.assert_close(here.confidence, there.confidence)


def test_replayed_chains_follow_a_network_whose_weights_change(small: Discriminator, replayed: list):
    network, settings = small.network, SamplerSettings(max_steps=12)
    before = sample(network, 12, SHAPE, settings, again())
    recorded = list(recordings_of(network).found)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(0.5)
    after = sample(network, 12, SHAPE, settings, again())
    assert not after.confidence.equal(before.confidence)
    assert list(recordings_of(network).found) == recorded
    assert_equal(after, moved(network, settings))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_weights_that_stand_in_are_where_they_were_and_others_are_noticed(small: Discriminator, precision: str):
    network, settings = small.network, SamplerSettings(precision=precision)

    def found() -> tuple[int, ...]:
        with prepare_network(network, torch.zeros(1, *SHAPE), settings):
            return addresses_of(network)

    first = found()
    small.load_state_dict(small.state_dict())
    assert found() == first
    network.bn1.running_mean = network.bn1.running_mean.clone()
    assert found() != first


def test_a_batch_is_halved_when_half_of_it_runs_and_ends_when_none_does():
    assert [batch_for(running, 128) for running in (128, 65, 64, 5, 0)] == [128, 128, 64, 64, 0]
    assert [batch_for(running, 1000) for running in (501, 500, 250, 100)] == [1000, 500, 250, 125]
    assert [batch_for(running, 12) for running in (12, 1, 0)] == [12, 12, 0]


def doubled(values: Sequence[Tensor]) -> list[Tensor]:
    return [2 * values[0]]


def test_a_recording_keeps_its_places_and_leaves_what_it_was_given():
    given = torch.ones(2)
    recording = Recordings().of("ones", [given, given])
    places = [place.data_ptr() for place in recording.places]
    recording.run("doubled", doubled)
    recording.run("doubled", doubled)
    assert given.tolist() == [1, 1] and [place.tolist() for place in recording.places] == [[4, 4], [1, 1]]
    assert [place.data_ptr() for place in recording.places] == places


def test_recordings_that_were_not_used_for_long_are_forgotten():
    recordings = Recordings()
    for number in range(MOST):
        recordings.of(number, [torch.zeros(1)])
    recordings.of(0, [torch.zeros(1)])
    recordings.of("new", [torch.zeros(1)])
    assert list(recordings.found) == [*range(2, MOST), 0, "new"]


def test_what_is_kept_of_a_network_goes_when_it_goes():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 14 * 14, 2))
    sample(network, 2, SHAPE, SamplerSettings(max_steps=10, precision="bfloat16"), again())
    recordings_of(network).of("kept", [torch.zeros(1)])
    gone = ref(network)
    with frozen(network):
        pass
    del network
    gc.collect()
    assert gone() is None
