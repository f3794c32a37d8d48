"""What a precision changes, and that it changes nothing else."""

from copy import deepcopy
from typing import get_args

import pytest
import torch
from torch import nn

from fig import sampler
from fig.discriminator import Discriminator
from fig.langevin import logits_and_gradient
from fig.precision import computing, scale_of_rows, warn_where_slow
from fig.sampler import prepare_network, sample
from fig.settings import Precision, SamplerSettings

PRECISIONS = get_args(Precision)
FLIPS = {"float32": 1e-3, "tf32": 1e-3, "float16": 0.03, "bfloat16": 0.15}  # most of the signs; a CPU has no TF32
CPU = torch.device("cpu")


def flags() -> tuple[object, ...]:
    convolutions = torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    return (*convolutions, torch.backends.cudnn.deterministic, torch.is_autocast_enabled("cpu"))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_precision_holds_for_its_block_alone(precision: Precision):
    before = flags()
    kept = "tf32" if precision == "tf32" else "ieee"
    with pytest.raises(KeyError), computing(precision, CPU, deterministic=True):
        assert flags() == (kept, kept, True, precision.endswith("16"))
        with computing("float32", CPU):
            assert flags() == ("ieee", "ieee", True, False)
        raise KeyError
    assert flags() == before


@pytest.fixture
def trained(small: Discriminator) -> Discriminator:
    """A network whose running statistics have moved."""
    small.network.train()(2 * torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(0)) - 1)
    return small


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_gradient_has_the_size_and_nearly_all_signs_of_float64s(precision: Precision, trained: Discriminator):
    images = 2 * torch.rand(32, 3, 16, 16, generator=torch.Generator().manual_seed(1)) - 1
    exact = deepcopy(trained.network).double()
    with prepare_network(exact, images.double(), SamplerSettings()):
        _, expected = logits_and_gradient(exact, images.double(), 5.0)
    with prepare_network(trained.network, images, SamplerSettings(precision=precision)):
        _, gradient = logits_and_gradient(trained.network, images, 5.0)
    assert (gradient.sign() != expected.sign()).double().mean() < FLIPS[precision]
    assert gradient.double().norm().item() == pytest.approx(expected.norm().item(), rel=0.05)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_weights_are_cast_once_and_restored_to_the_bit(
    precision: Precision, trained: Discriminator, monkeypatch: pytest.MonkeyPatch
):
    settings, before = SamplerSettings(precision=precision, max_steps=12), deepcopy(trained.state_dict())
    once = sample(trained.network, 4, (3, 16, 16), settings, torch.Generator().manual_seed(2))
    assert all(value.equal(before[name]) for name, value in trained.state_dict().items())
    monkeypatch.setattr(sampler, "LOWER", {})
    each_time = sample(trained.network, 4, (3, 16, 16), settings, torch.Generator().manual_seed(2))
    assert once.images.equal(each_time.images) and once.energy.equal(each_time.energy)


@pytest.mark.parametrize(("capability", "warnings"), [("AVX2", 1), ("AVX512", 0)])
def test_a_cpu_without_instructions_for_a_precision_warns_of_it_once(
    capability: str, warnings: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    warn_where_slow.cache_clear()
    for precision in ("float32", "bfloat16", "bfloat16"):
        with computing(precision, CPU):
            pass
    assert caplog.text.count("this CPU has no instructions for bfloat16") == warnings
    warn_where_slow.cache_clear()


def test_a_row_without_a_gradient_stays_without_one_in_float16():
    gradients = torch.tensor([[0.0, 0.0], [1e-20, -2e-20], [3.0, 6.0]])
    scaled = gradients * scale_of_rows(gradients)
    assert scaled.isfinite().all()
    assert scaled.abs().amax(dim=1).tolist() == pytest.approx([0, 8, 8])


def test_no_gradient_of_float16_is_lost_where_logits_are_large(trained: Discriminator):
    with torch.no_grad():
        trained.network.fc.weight.mul_(30 / trained.network(torch.zeros(1, 3, 16, 16)).abs().max())
    images = 2 * torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1)) - 1
    with prepare_network(trained.network, images, SamplerSettings(precision="float16")):
        _, gradient = logits_and_gradient(trained.network, images, 5.0)
    assert gradient.isfinite().all() and (gradient == 0).float().mean() < 0.01


def test_weights_that_are_computed_in_each_pass_are_sampled_in_a_lower_precision_too(trained: Discriminator):
    trained.network.apply(lambda module: isinstance(module, nn.Conv2d) and nn.utils.spectral_norm(module))
    trained.network.train()(torch.rand(4, 3, 16, 16))
    settings = SamplerSettings(precision="bfloat16", min_steps=2, max_steps=2)
    assert sample(trained.network, 2, (3, 16, 16), settings, torch.Generator()).energy.isfinite().all()
