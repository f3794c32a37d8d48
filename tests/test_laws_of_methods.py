"""What holds for every method, and what tells them apart."""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, replace
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from fig.data.arrays import Split
from fig.data.batches import images_at, labels_of
from fig.discriminator import Architecture, Discriminator
from fig.methods.adversarial import Adversarial, rising_signs
from fig.methods.batch import Batch
from fig.methods.gaussian import Gaussian
from fig.methods.implicit_generator import ImplicitGenerator
from fig.methods.jcl import GENERATOR, JointConfidence, critic_of, generate_images, generator_of
from fig.methods.mixup import loss_of_mixtures
from fig.methods.penalty import logits_apart, share_of
from fig.methods.protocol import NETWORK, Loss, Method
from fig.methods.scratch import SNAPSHOT, Scratch
from fig.methods.standard import Standard
from fig.methods.table import METHODS, Statistics, build_method
from fig.networks.heads import Cosine
from fig.objectives import PENALTIES, cross_entropy
from fig.settings import SamplerSettings

SHORT = SamplerSettings(max_steps=12)
QUICK = {"fig": {"sampler": SHORT}, "jcl": {"filters": 2, "latent": 5}, "acet": {"steps": 2}}


def quick(name: str) -> Method:
    """A method by name, its chains kept short and its companions small."""
    return build_method(name, QUICK.get(METHODS[name].section, {}))


def made_for(method: Method, architecture: Architecture, seed: int = 0) -> dict[str, nn.Module]:
    """A network and the method's companions, in training mode."""
    network = Discriminator(replace(architecture, head=method.head), seed).network
    companions = method.companions(network, (3, architecture.size, architecture.size), generator(seed))
    return {NETWORK: network.train()} | {name: player.module.train() for name, player in companions.items()}


def batch_of(discriminator: Discriminator, data: Split, count: int = 20, **place: int) -> Batch:
    rows = torch.arange(count)
    images = discriminator.scaled(images_at(data, rows))
    return Batch(images, labels_of(data)[rows], *discriminator.range, begins_epoch=True, **place)


def generator(value: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def one_loss(method: Method, network: nn.Module, batch: Batch, seed: int = 0) -> Loss:
    """The only loss of a method without companions."""
    (loss,) = method.losses({NETWORK: network}, batch, generator(seed))
    return loss


def gradients(loss: Loss, network: nn.Module) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss.value, list(network.parameters()))


def losses_of(method: Method, architecture: Architecture, batch: Batch, seed: int = 0) -> Iterator[Loss]:
    players = made_for(method, architecture)
    return method.losses(players, batch, generator(seed))


@pytest.mark.parametrize("name", METHODS)
def test_losses_are_finite_reach_every_weight_of_their_player_and_are_described(
    name: str, small: Discriminator, stripes: Split
):
    method = quick(name)
    players = made_for(method, small.architecture)
    logged: dict[str, Tensor] = {}
    for loss in method.losses(players, batch_of(small, stripes), generator()):
        assert loss.value.shape == () and loss.value.isfinite()
        weights = list(players[loss.player].parameters())
        assert all(g.isfinite().all() for g in torch.autograd.grad(loss.value, weights))
        logged |= loss.row
    assert {"id_confidence", "id_energy", "accuracy"} <= set(logged)
    assert all(value.isfinite().all() and not value.requires_grad for value in logged.values())
    network = players[NETWORK]
    assert all(p.requires_grad for p in network.parameters()) and network.training


@pytest.mark.parametrize("name", METHODS)
def test_the_generator_decides_the_losses(name: str, small: Discriminator, stripes: Split):
    batch = batch_of(small, stripes)
    first, second = ([loss.value for loss in losses_of(quick(name), small.architecture, batch, 1)] for _ in range(2))
    assert all(a.equal(b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_the_losses_of_three_workers_add_up_to_the_whole_batchs(name: str, small: Discriminator, stripes: Split):
    method = quick(name)
    players = {key: module.eval() for key, module in made_for(method, small.architecture).items()}
    parts = []  # in eval mode: the statistics of a worker's part of a batch are its own
    for place in ({}, {"rank": 0, "workers": 3}, {"rank": 1, "workers": 3}, {"rank": 2, "workers": 3}):
        batch = batch_of(small, stripes, **place)
        parts.append([loss.value for loss in method.losses(players, batch, generator())])
    for whole, *shares in zip(*parts, strict=True):
        torch.testing.assert_close(sum(shares), whole)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_the_same_once_it_was_written_down(name: str):
    method = quick(name)
    stated = {key: value for key, value in json.loads(json.dumps(asdict(method))).items() if key != "teacher"}
    assert build_method(name, stated) == method


@pytest.mark.parametrize("method", [ImplicitGenerator(K=0), Gaussian(K=0)])
def test_K_of_zero_is_plain_fine_tuning_bit_for_bit(method: Method, small: Discriminator, stripes: Split):
    batch, network = batch_of(small, stripes), small.network.train()
    losses = [one_loss(m, network, batch) for m in (method, Standard())]
    assert losses[0].value.equal(losses[1].value)
    first, second = (gradients(loss, network) for loss in losses)
    assert all(a.equal(b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("method", [ImplicitGenerator, Gaussian])
@pytest.mark.parametrize("name", PENALTIES)
def test_a_method_minimises_the_penalty_that_it_names_by_its_weight_and_no_other(
    method: type[Method], name: str, small: Discriminator, stripes: Split, monkeypatch: pytest.MonkeyPatch
):
    batch, network = batch_of(small, stripes), small.network.train()
    built = method(penalty=name, weight=0.5, **({"sampler": SHORT} if method is ImplicitGenerator else {}))
    found = {}
    for stated in PENALTIES:
        for worth in (0.0, 7.0):
            with monkeypatch.context() as patch:
                for each in PENALTIES:
                    patch.setitem(PENALTIES, each, lambda *_, value=worth if each == stated else 0.0: value)
                found[stated, worth] = one_loss(built, deepcopy(network), batch).value.item()
    differences = {stated: found[stated, 7.0] - found[stated, 0.0] for stated in PENALTIES}
    assert differences == pytest.approx({stated: 3.5 if stated == name else 0.0 for stated in PENALTIES}, abs=1e-4)


@pytest.mark.parametrize("statistics", ["recomputed", "running"])
@pytest.mark.parametrize("method", [ImplicitGenerator(K=0.5, sampler=SHORT), Gaussian(K=0.5)])
def test_outliers_leave_running_statistics_alone_unless_they_share_them(
    method: Gaussian | ImplicitGenerator, statistics: Statistics, small: Discriminator, stripes: Split
):
    batch, left = batch_of(small, stripes), []
    for each in (Standard(), replace(method, statistics=statistics), method):
        network = deepcopy(small.network).train()
        one_loss(each, network, batch)
        left.append(list(network.buffers()))
        assert all(module.training for module in network.modules())
    alone, apart, shared = left
    assert all(a.equal(b) for a, b in zip(alone, apart, strict=True))
    assert not all(a.equal(b) for a, b in zip(alone, shared, strict=True))


def test_outliers_whose_statistics_are_recomputed_teach_as_those_that_share_them(small: Discriminator, stripes: Split):
    batch, found = batch_of(small, stripes), []
    for statistics in get_args(Statistics):
        network = deepcopy(small.network).train()
        loss = one_loss(Gaussian(K=0.5, statistics=statistics), network, batch)
        found.append([loss.value, *gradients(loss, network)])
    shared, recomputed, running = found
    assert all(a.equal(b) for a, b in zip(shared, recomputed, strict=True))
    assert not all(a.equal(b) for a, b in zip(shared, running, strict=True))


def test_outliers_apart_get_the_logits_of_a_test_and_id_images_those_of_a_training(
    small: Discriminator, stripes: Split
):
    batch, outliers = batch_of(small, stripes), torch.randn(5, 3, 32, 32)
    network, alone = deepcopy(small.network).train(), deepcopy(small.network).train()
    id_logits, ood_logits = logits_apart(network, batch, outliers)
    assert id_logits.equal(alone(batch.inputs))
    torch.testing.assert_close(ood_logits, alone.eval()(outliers))
    assert logits_apart(network, batch, outliers[:0])[1].shape == (0, ood_logits.shape[1])


def test_the_low_entropy_share_is_at_least_one_image():
    assert [share_of(K, 128) for K in (0, 0.001, 0.1, 1)] == [0, 1, 13, 128]
    for method in (ImplicitGenerator, Gaussian):
        with pytest.raises(ValueError, match=r"K is 1\.5: it must be at most 1"):
            method(K=1.5)


def test_a_teacher_is_followed_and_left_alone(small: Discriminator, stripes: Split):
    teacher = Discriminator(small.architecture, seed=5).network
    before = deepcopy(teacher.state_dict())
    batch, network = batch_of(small, stripes), small.network.train()
    own = one_loss(ImplicitGenerator(sampler=SHORT), network, batch)
    taught = one_loss(ImplicitGenerator(sampler=SHORT, teacher=teacher), network, batch)
    gradients(taught, network)
    assert not taught.row["generated_energy"].equal(own.row["generated_energy"])
    assert all(value.equal(before[name]) for name, value in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters())


def test_samples_come_from_the_discriminator_as_it_is_now(small: Discriminator, stripes: Split):
    batch, network = batch_of(small, stripes), small.network.train()
    before = one_loss(ImplicitGenerator(sampler=SHORT), network, batch).row["generated_energy"]
    with torch.no_grad():
        network.fc.weight.mul_(3)
    assert not one_loss(ImplicitGenerator(sampler=SHORT), network, batch).row["generated_energy"].equal(before)


def test_from_scratch_samples_come_from_the_network_as_the_epoch_began(small: Discriminator, stripes: Split):
    method = Scratch(sampler=SHORT)
    players = made_for(method, small.architecture)
    first = batch_of(small, stripes)
    later = replace(first, begins_epoch=False)

    def energy(batch: Batch) -> Tensor:
        (loss,) = method.losses(players, batch, generator())
        return loss.row["generated_energy"]

    began = energy(first)
    with torch.no_grad():
        players[NETWORK].fc.weight.mul_(3)
    assert energy(later).equal(began)
    assert not energy(first).equal(began)
    assert players[SNAPSHOT].fc.weight.equal(players[NETWORK].fc.weight)


def test_gaussian_images_are_unit_noise_clipped_to_the_input_range():
    seen: list[Tensor] = []

    class Spy(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images)
            return images.flatten(1)[:, :2]

    zeros = torch.zeros(64, 3, 16, 16)
    one_loss(Gaussian(K=1), Spy(), Batch(zeros, torch.zeros(64).long(), zeros[0], zeros[0]))
    noise = seen[0][64:]
    assert noise.shape == (64, 3, 16, 16) and noise.abs().max() == 1
    assert noise.eq(1).double().mean().item() == pytest.approx(0.1587, abs=0.01)  # the normal's share above 1


@pytest.mark.parametrize("share", [1.0, 0.0])
def test_mixtures_of_one_image_are_standard_training(share: float, small: Discriminator, stripes: Split):
    batch, network = batch_of(small, stripes), small.network.train()
    order = torch.randperm(20, generator=generator())
    mixed = loss_of_mixtures(network, batch, order, share)
    other = replace(batch, whole=batch.whole[order], whole_labels=batch.whole_labels[order])
    plain = one_loss(Standard(), network, other if share == 0 else batch)
    torch.testing.assert_close(mixed.value, plain.value)
    for mine, expected in zip(gradients(mixed, network), gradients(plain, network), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-6)


def test_adversarial_training_of_magnitude_zero_is_standard_training(small: Discriminator, stripes: Split):
    batch, network = batch_of(small, stripes), small.network.train().double()  # in float32, rounding may turn a ReLU
    batch = replace(batch, whole=batch.whole.double())
    still, plain = (one_loss(method, network, batch) for method in (Adversarial(magnitude=0), Standard()))
    torch.testing.assert_close(still.value, plain.value)
    for mine, expected in zip(gradients(still, network), gradients(plain, network), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-3, atol=1e-5)


def test_an_adversarial_image_is_one_step_of_the_stated_size_uphill(small: Discriminator, stripes: Split):
    batch, network = batch_of(small, stripes), small.network
    signs = rising_signs(network, batch.inputs, batch.labels)
    network.eval()
    before, after = (cross_entropy(network(batch.inputs + step * signs), batch.labels).item() for step in (0.0, 0.001))
    assert after > before and set(signs.unique().tolist()) <= {-1.0, 0.0, 1.0}
    passed: list[Tensor] = []
    network.register_forward_pre_hook(lambda module, given: passed.append(given[0]))
    for unit, size in (("pixels", 0.1 * batch.unit.max()), ("inputs", torch.tensor(0.1))):
        passed.clear()
        one_loss(Adversarial(unit=unit), network, batch)
        images, perturbed = passed[-1].chunk(2)  # one pass of both, so that running statistics are of both
        torch.testing.assert_close(images, batch.inputs)
        torch.testing.assert_close((perturbed - images).abs().max(), size, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "critical"), [(16, 2), (32, 3), (224, 5)])
def test_the_gan_makes_images_of_the_size_in_the_input_range(size: int, critical: int):
    shape, draw = (3, size, size), generator()
    forge, critic = generator_of(shape, 5, 2), critic_of(shape, 2)
    black, unit = torch.full((3, 1, 1), -2.0), torch.full((3, 1, 1), 5.0)
    images = generate_images(forge, 5, Batch(torch.zeros(2, *shape), torch.zeros(2), black, unit), draw)
    assert images.shape == (2, *shape) and images.min() >= -2 and images.max() <= 3
    assert critic(images).shape == (2, 1, 1, 1)
    assert sum(isinstance(m, nn.ConvTranspose2d) and m.stride == (2, 2) for m in forge) == critical


def test_the_gan_of_small_images_is_dcgans():
    channels = [m.out_channels for m in generator_of((3, 32, 32), 100, 64) if isinstance(m, nn.ConvTranspose2d)]
    assert channels == [512, 256, 128, 3]
    assert [m.out_channels for m in critic_of((3, 32, 32), 64) if isinstance(m, nn.Conv2d)] == [128, 256, 512, 1]


def test_a_gan_is_refused_for_sizes_that_doubling_does_not_reach():
    with pytest.raises(ValueError, match="4 to 7 pixels a side times a power of two, not of 36"):
        generator_of((3, 36, 36), 5, 2)


def test_a_collapsed_generator_is_seen_in_the_history(small: Discriminator, stripes: Split):
    method = JointConfidence(filters=2, latent=5)
    players = made_for(method, small.architecture)

    def spread() -> float:
        *_, last = method.losses(players, batch_of(small, stripes), generator())
        return last.row["generated_spread"].item()

    assert spread() > 0.01
    with torch.no_grad():
        players[GENERATOR][0].weight.zero_()  # nothing of the latent variables comes through
    assert spread() < 1e-6


def test_the_cosine_head_knows_no_length_of_features_and_is_not_decayed(small: Discriminator):
    from fig.training import TrainingSettings, optimizer_of

    head, features = Cosine(6, 3), torch.randn(4, 6, generator=generator())
    torch.testing.assert_close(head(features), head(7 * features), rtol=1e-3, atol=1e-3)
    network = Discriminator(replace(small.architecture, head="deconf")).network
    decayed, undecayed = optimizer_of(network, TrainingSettings(0.1, iterations=1)).param_groups
    assert [p is network.fc.similarity.weight for p in undecayed["params"]] == [True]
    assert undecayed["weight_decay"] == 0 and decayed["weight_decay"] == 5e-4
    assert len(decayed["params"]) == len(list(network.parameters())) - 1
