"""What holds for every method, and what tells them apart."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from fig.data.arrays import Split
from fig.data.batches import images_at, labels_of
from fig.discriminator import Discriminator
from fig.methods.batch import Batch
from fig.methods.gaussian import Gaussian
from fig.methods.implicit_generator import ImplicitGenerator
from fig.methods.penalty import share_of
from fig.methods.standard import Standard
from fig.methods.table import METHODS
from fig.sampler import SamplerSettings

SHORT = SamplerSettings(max_steps=12)


def quick(name: str):
    """A method by name with its default settings, chains kept short."""
    method = METHODS[name]()
    return replace(method, sampler=SHORT) if hasattr(method, "sampler") else method


def batch_of(discriminator: Discriminator, data: Split, count: int = 20) -> Batch:
    rows = torch.arange(count)
    return Batch(discriminator.scaled(images_at(data, rows)), labels_of(data)[rows], count)


def part_of(whole: Batch, rank: int, workers: int) -> Batch:
    rows = torch.arange(rank, whole.total, workers)
    return Batch(whole.inputs[rows], whole.labels[rows], whole.total, rank, workers)


def seed(value: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(value)


@pytest.mark.parametrize("name", METHODS)
def test_a_loss_is_finite_reaches_every_weight_and_is_described(name: str, small: Discriminator, stripes: Split):
    loss, row = quick(name).loss(small.network.train(), batch_of(small, stripes), seed())
    assert loss.shape == () and loss.isfinite()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in small.parameters())
    assert {"id_confidence", "id_energy", "accuracy"} <= set(row)
    assert all(value.shape == () and value.isfinite() and not value.requires_grad for value in row.values())
    assert all(p.requires_grad for p in small.parameters()) and small.network.training


@pytest.mark.parametrize("name", METHODS)
def test_the_generator_decides_the_loss(name: str, small: Discriminator, stripes: Split):
    batch = batch_of(small, stripes)
    same = [Discriminator(small.architecture).network.train() for _ in range(2)]  # a loss moves running statistics
    first, second = (quick(name).loss(network, batch, seed(1))[0] for network in same)
    assert first.equal(second)


@pytest.mark.parametrize("name", METHODS)
def test_the_losses_of_three_workers_add_up_to_the_whole_batchs(name: str, small: Discriminator, stripes: Split):
    network = small.network.eval()  # no batch statistics: each worker's are its own
    whole = batch_of(small, stripes)
    expected, _ = quick(name).loss(network, whole, seed())
    parts = [quick(name).loss(network, part_of(whole, rank, 3), seed())[0] for rank in range(3)]
    torch.testing.assert_close(sum(parts), expected)


@pytest.mark.parametrize("method", [ImplicitGenerator(K=0), Gaussian(K=0)])
def test_K_of_zero_is_plain_fine_tuning_bit_for_bit(method, small: Discriminator, stripes: Split):
    batch = batch_of(small, stripes)
    losses = [m.loss(small.network.train(), batch, seed())[0] for m in (method, Standard())]
    assert losses[0].equal(losses[1])
    first, second = (torch.autograd.grad(loss, list(small.parameters())) for loss in losses)
    assert all(a.equal(b) for a, b in zip(first, second, strict=True))


def test_the_low_entropy_share_is_at_least_one_image():
    assert [share_of(K, 128) for K in (0, 0.001, 0.1, 1)] == [0, 1, 13, 128]
    for method in (ImplicitGenerator, Gaussian):
        with pytest.raises(ValueError, match=r"K is 1\.5: the low-entropy share must lie in \[0, 1\]"):
            method(K=1.5)


def test_a_teacher_is_followed_and_left_alone(small: Discriminator, stripes: Split):
    teacher = Discriminator(small.architecture, seed=5).network
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    batch = batch_of(small, stripes)
    own = ImplicitGenerator(sampler=SHORT).loss(small.network.train(), batch, seed())[1]
    taught = ImplicitGenerator(sampler=SHORT, teacher=teacher)
    loss, row = taught.loss(small.network.train(), batch, seed())
    loss.backward()
    assert not row["generated_energy"].equal(own["generated_energy"])
    assert all(value.equal(before[name]) for name, value in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters())


def test_samples_come_from_the_discriminator_as_it_is_now(small: Discriminator, stripes: Split):
    batch, method = batch_of(small, stripes), ImplicitGenerator(sampler=SHORT)
    before = method.loss(small.network.train(), batch, seed())[1]["generated_energy"]
    with torch.no_grad():
        small.network.fc.weight.mul_(3)
    assert not method.loss(small.network.train(), batch, seed())[1]["generated_energy"].equal(before)


def test_gaussian_images_are_unit_noise_clipped_to_the_input_range(stripes: Split):
    seen: list[torch.Tensor] = []

    class Spy(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images)
            return images.flatten(1)[:, :2]

    Gaussian(K=1).loss(Spy(), Batch(torch.zeros(64, 3, 16, 16), torch.zeros(64).long(), 64), seed())
    noise = seen[0][64:]
    assert noise.shape == (64, 3, 16, 16) and noise.abs().max() == 1
    assert noise.eq(1).double().mean().item() == pytest.approx(0.1587, abs=0.01)  # the normal's share above 1
