"""Many samples: the same however they are split, stopped, gone on with, or watched."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from fig.discriminator import Discriminator
from fig.energy import confidence
from fig.langevin import start_chains
from fig.sampler import sample
from fig.sampling import Request, Trajectories, draw, drawings, load_drawing, run_probe, save_drawing
from fig.seeding import generator
from fig.settings import SamplerSettings

SHAPE = (3, 8, 8)
REQUEST = Request(20, SHAPE, batch=8, seed=3)


def quiet(network: nn.Module, request: Request, watch=None):
    return draw(network, request, watch, progress=False)


def equal(first, second) -> bool:
    return all(value.equal(getattr(second, name)) for name, value in vars(first).items())


def test_a_drawing_is_batches_of_the_sampler_one_after_the_other(linear: nn.Module):
    drawn = quiet(linear, REQUEST)
    assert drawn.images.shape == (20, *SHAPE)
    second = sample(linear, 8, SHAPE, REQUEST.settings, generator(3, "samples", 1))
    torch.testing.assert_close(drawn.images[8:16], second.images)
    assert drawn.steps[8:16].equal(second.steps)


def test_how_many_samples_are_asked_for_does_not_change_them(linear: nn.Module):
    torch.testing.assert_close(quiet(linear, replace(REQUEST, count=5)).images, quiet(linear, REQUEST).images[:5])


@pytest.mark.parametrize("settings", [SamplerSettings(), SamplerSettings(smoothing=(0, 2), radius=0.5)])
def test_a_drawing_that_is_stopped_anywhere_and_read_from_its_file_goes_on_to_the_same_bits(
    settings: SamplerSettings, linear: nn.Module, tmp_path: Path
):
    request = replace(REQUEST, settings=settings)
    whole, file = quiet(linear, request), tmp_path / "unfinished"
    lengths = len(list(drawings(linear, request)))
    for stop in (0, 3, lengths // 2, lengths - 2):
        for count, drawing in enumerate(drawings(linear, request)):
            if count == stop:
                save_drawing(file, drawing)
                break
        *_, last = drawings(linear, request, load_drawing(file, torch.device("cpu")))
        assert equal(last.samples, whole)


class Small(nn.Module):
    """A network on a device whose memory holds only a few images at once."""

    def __init__(self, network: nn.Module, most: int) -> None:
        super().__init__()
        self.network, self.most = network, most

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return self.network(images)


def test_where_memory_does_not_suffice_smaller_batches_give_the_same_samples(linear: nn.Module):
    torch.testing.assert_close(quiet(Small(linear, 3), REQUEST).images, quiet(linear, REQUEST).images)
    with pytest.raises(torch.OutOfMemoryError):
        quiet(Small(linear, 0), REQUEST)


def test_only_samples_of_the_wanted_class_are_kept(linear: nn.Module):
    wanted = quiet(linear, replace(REQUEST, wanted=2))
    assert len(wanted.images) == 20 and (wanted.predicted == 2).all()
    assert linear(wanted.images).argmax(dim=1).eq(2).all()
    with torch.no_grad():
        linear[1].bias[2] = -100
    with pytest.raises(ValueError, match="only 0 of 400 samples are predicted as class 2"):
        quiet(linear, replace(REQUEST, wanted=2))


def test_trajectories_are_what_the_chains_went_through(linear: nn.Module):
    seen = Trajectories(images_every=5)
    drawn = quiet(linear, REQUEST, seen)
    assert seen.confidence.shape == (20, int(drawn.steps.max()) + 1)
    assert seen.confidence.isfinite().sum(dim=1).equal(drawn.steps + 1)
    torch.testing.assert_close(seen.confidence.gather(1, drawn.steps[:, None])[:, 0], drawn.confidence)
    torch.testing.assert_close(seen.energy.gather(1, drawn.steps[:, None])[:, 0], drawn.energy)
    images = torch.stack([seen.images[10][chain] for chain in range(20)])
    torch.testing.assert_close(confidence(linear(images)).detach(), seen.confidence[:, 10])


@pytest.mark.parametrize("stop", ["chain", "batch"])
def test_a_probe_stops_chains_where_the_sampler_would(linear: nn.Module, stop: str):
    settings = SamplerSettings(stop=stop, confident=0.6, tolerance=0.03)
    report = run_probe(linear, 8, SHAPE, 60, settings, seed=3, batch=8, progress=False)
    drawn = quiet(linear, Request(8, SHAPE, replace(settings, max_steps=60), seed=3, batch=8))
    assert report.stops == tuple(drawn.steps.tolist())
    assert report.confidence == pytest.approx(drawn.confidence.mean().item(), abs=1e-5)
    assert len(report.mean) == 61


def test_a_classifier_of_any_kind_is_sampled(small: Discriminator):
    assert quiet(small.network, Request(3, (3, 16, 16))).images.shape == (3, 3, 16, 16)


@pytest.mark.parametrize(("pixel", "ends"), [(1.5, "0 and 1.5"), (-2.0, "-2 and 0"), (float("nan"), "nan and nan")])
def test_chains_that_start_out_of_range_are_refused(pixel: float, ends: str):
    images = torch.zeros(2, *SHAPE)
    images[1, 0, 0, 0] = pixel
    with pytest.raises(ValueError, match=rf"pixels between {ends}: they must lie in \[-1, 1\]"):
        start_chains(images, SamplerSettings(), 2, torch.arange(2))
    with pytest.raises(ValueError, match="no image was given"):
        start_chains(torch.zeros((0, *SHAPE)), SamplerSettings(), 2, torch.arange(0))


@pytest.mark.parametrize(("key", "value"), [("count", 0), ("batch", 0)])
def test_a_request_for_nothing_is_refused(key: str, value: int):
    with pytest.raises(ValueError, match=f"{key} is 0"):
        replace(REQUEST, **{key: value})
