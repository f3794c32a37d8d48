"""What chains start at, and how far from there they go."""

import pytest
import torch
from torch import Tensor, nn

from fig.energy import energy
from fig.langevin import start_chains, step
from fig.methods.batch import Batch
from fig.methods.implicit_generator import ImplicitGenerator
from fig.methods.protocol import NETWORK
from fig.sampler import sample
from fig.settings import SamplerSettings
from fig.starts import GRID, STARTS, draw_starts, scramble_phases, shuffle_patches

SIDE = 8
SHAPE = (3, SIDE, SIDE)
STILL = SamplerSettings(min_steps=0, max_steps=0)


def again(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(count: int) -> Tensor:
    return torch.rand(count, *SHAPE, generator=again()) * 2 - 1


def photos(count: int = 40) -> Tensor:
    """Smooth random images in [-1, 1], as photographs are smoother than noise."""
    coarse = torch.rand(count, 3, 4, 4, generator=again(5)) * 2 - 1
    return nn.functional.interpolate(coarse, size=SIDE, mode="bilinear")


def power_of(images: Tensor) -> Tensor:
    """Mean power of each frequency, the mean colour aside: (channels, height, width)."""
    return torch.fft.fft2(images - images.mean(dim=(0, 2, 3), keepdim=True)).abs().square().mean(dim=0)


@pytest.mark.parametrize("name", STARTS)
def test_a_start_is_a_function_of_the_generator_and_leaves_the_images(name: str):
    images = photos()
    first, second = (STARTS[name](images, again()) for _ in range(2))
    assert torch.equal(first, second) and torch.equal(images, photos()) and first.shape == images.shape
    assert not torch.equal(first, STARTS[name](images, again(1))) and not torch.allclose(first, images, atol=0.1)


def test_scrambled_images_have_the_amplitudes_and_colours_of_their_own_and_one_field_of_phases():
    images = photos()
    scrambled = scramble_phases(images, again())
    before, after = torch.fft.fft2(images), torch.fft.fft2(scrambled)
    assert torch.allclose(after.abs(), before.abs(), atol=1e-3)
    assert torch.allclose(scrambled.mean(dim=(2, 3)), images.mean(dim=(2, 3)), atol=1e-5)
    red, _, blue = (after / before).unbind(dim=1)
    strong = before.abs().amin(dim=1) > 0.5
    assert torch.allclose(red[strong], blue[strong], atol=1e-2)


def test_smooth_starts_are_scrambled_images_whose_amplitudes_fall_as_a_gaussian_of_their_own_width():
    images = photos(200)
    ratio = torch.fft.fft2(STARTS["smooth"](images, again())).abs() / torch.fft.fft2(images).abs()
    down = torch.fft.fftfreq(SIDE)
    squares = down[:, None].square() + down.square()
    nearest, diagonal = ratio[:, :, 0, 1], ratio[:, :, 1, 1]
    widths = (squares[0, 1] / -nearest.log2()).sqrt().median(dim=1).values  # (200,), where amplitudes are halved
    assert torch.allclose(diagonal, nearest.square(), rtol=1e-2, atol=1e-3)
    assert torch.allclose(ratio[..., 0, 0], torch.ones(()), atol=1e-4), "the mean colour stays"
    assert 1 / 32 - 1e-3 <= widths.min() < 1 / 24 and 1 / 5 < widths.max() <= 1 / 4 + 1e-3


def test_shuffled_images_are_made_of_their_own_patches_each_once():
    side = SIDE // GRID
    for before, after in zip(photos(3), shuffle_patches(photos(3), again()), strict=True):
        cut = [each.unfold(1, side, side).unfold(2, side, side).permute(1, 2, 0, 3, 4) for each in (before, after)]
        own, moved = (sorted(patch.flatten().tolist() for patch in each.flatten(0, 1)) for each in cut)
        assert own == moved
    with pytest.raises(ValueError, match="images of 10 x 10 pixels cannot be cut into 4 x 4 patches"):
        shuffle_patches(torch.zeros(1, 3, 10, 10), again())


def test_noise_of_the_images_spectrum_has_it_and_their_mean_colour():
    images = photos() + torch.tensor([0.3, 0.0, -0.3])[:, None, None]
    noise = torch.cat([STARTS["spectrum"](images, again(seed)) for seed in range(100)])  # 4,000 images
    assert torch.allclose(noise.mean(dim=(0, 2, 3)), images.mean(dim=(0, 2, 3)), atol=0.05)
    assert torch.allclose(power_of(noise)[:, 1:3, 1:3], power_of(images)[:, 1:3, 1:3], rtol=0.15)


def test_kinds_of_starts_have_equal_shares_and_each_image_is_used_once():
    images = torch.arange(8.0).div(8)[:, None, None, None].expand(8, *SHAPE)  # each of one colour, which both leave
    colours = draw_starts(["phases", "patches"], images, 5, again()).mean(dim=(1, 2, 3))
    assert len(colours) == 5 and len(set(colours.mul(8).round().int().tolist())) == 5
    both = draw_starts(["patches", "uniform"], images, 5, again())
    assert (both.std(dim=(1, 2, 3)) > 0.1).tolist() == [False, False, False, True, True]
    assert len(draw_starts(["patches", "uniform", "phases"], images, 2, again())) == 2


def test_chains_without_a_step_are_their_starts_and_workers_share_them(linear: nn.Module):
    starts = uniform(5)
    assert torch.equal(sample(linear, 5, SHAPE, STILL, again(), begin=starts).images, starts)
    rows = torch.tensor([3, 1])
    assert torch.equal(sample(linear, 5, SHAPE, STILL, again(), rows, begin=starts).images, starts[[1, 3]])


@pytest.mark.parametrize("radius", [0.05, 0.3])
def test_no_pixel_goes_farther_from_its_start_than_the_radius_nor_out_of_range(linear: nn.Module, radius: float):
    starts, free = uniform(6), SamplerSettings(min_steps=12, max_steps=12, step_size=0.5)
    bound = SamplerSettings(radius=radius, min_steps=12, max_steps=12, step_size=0.5)
    found = sample(linear, 6, SHAPE, bound, again(), begin=starts).images
    assert (found - starts).abs().max() == pytest.approx(radius, abs=1e-6) and found.abs().max() <= 1
    assert (sample(linear, 6, SHAPE, free, again(), begin=starts).images - starts).abs().max() > radius


def test_a_step_by_the_gradient_is_in_proportion_to_it_and_as_long_as_a_step_by_its_sign(linear: nn.Module):
    images, moves = uniform(2) / 2, {}
    for direction in ("sign", "gradient"):
        settings = SamplerSettings(direction=direction, noise="none")
        state = start_chains(images, settings, 2, torch.arange(2))
        moves[direction] = step(linear, state, torch.zeros_like(images), settings)[0].images - images
    leaf = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(energy(linear(leaf), 5.0).sum(), leaf)
    for sign, gradient, each in zip(moves["sign"], moves["gradient"], slope, strict=True):
        assert torch.equal(sign.sign(), -each.sign())
        assert torch.allclose(gradient, -0.05 * each / each.square().mean().sqrt(), atol=1e-6)
        assert gradient.norm().item() == pytest.approx(sign.norm().item(), rel=1e-4)


def test_fig_penalises_what_it_drew_from_its_starts(linear: nn.Module):
    images = photos(20)
    batch = Batch(images, torch.arange(20) % 3, torch.full((3, 1, 1), -1.0), torch.full((3, 1, 1), 2.0))
    method = ImplicitGenerator(K=0.5, starts=("patches",), sampler=STILL)
    (loss,) = method.losses({NETWORK: linear}, batch, again())
    q = linear(draw_starts(["patches"], images, 10, again())).softmax(dim=1)
    clean = nn.functional.cross_entropy(linear(images), batch.whole_labels)
    assert loss.value.item() == pytest.approx((clean + (q * q.log()).sum(dim=1).mean()).item(), rel=1e-5)
