"""Several workers do together what one does alone, each on the device that it was given."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from fig import parallel
from fig.data.arrays import Split
from fig.detectors.table import build_detector
from fig.discriminator import Architecture, Discriminator
from fig.evaluation import scores
from fig.exchange import summed_gradients
from fig.frozen import unrecorded_statistics
from fig.methods.table import METHODS, build_method
from fig.normalisation import share_statistics
from fig.settings import Augmentation, SamplerSettings, TrainingSettings
from fig.training import players_of, train
from support.workers import run_on_gloo


def exchange(values: list[float]) -> list[float]:
    tensor = torch.tensor(values) * (parallel.rank() + 1)
    parallel.sum_over_workers([tensor])
    rows = parallel.gather_parts(torch.arange(parallel.rank(), 5, parallel.workers()), 5)
    return [*tensor.tolist(), *rows.tolist()]


@pytest.mark.slow
def test_two_workers_sum_their_gradients_and_gather_their_rows_in_order(tmp_path: Path):
    assert run_on_gloo(2, tmp_path, exchange, [1.0, 10.0]) == [[3.0, 30.0, 0, 1, 2, 3, 4]] * 2


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_gradients_are_summed_over_workers_while_the_backward_pass_goes_on(count: int, tmp_path: Path):
    events, *gradients = zip(*run_on_gloo(count, tmp_path, exchange_gradients), strict=True)
    assert all(each == ["sent", "sent", "sent", "first layer", "sent"] for each in events)
    for first, last, unused in zip(*gradients, strict=True):  # of each worker
        assert first == pytest.approx(sum(2.0 * (rank + 1) for rank in range(count))) and last == first
        assert unused is None


def exchange_gradients() -> tuple[list[str], float, float, float | None]:
    """When buckets are sent, relative to the gradient of the first of four layers; and gradients of some weights."""
    layers = [nn.Parameter(torch.ones(4)) for _ in range(4)]
    unused = nn.Parameter(torch.ones(4))
    events: list[str] = []
    layers[0].register_post_accumulate_grad_hook(lambda _: events.append("first layer"))
    reduce = dist.all_reduce

    def noted(tensor: Tensor, async_op: bool = False) -> dist.Work | None:
        events.append("sent")
        return reduce(tensor, async_op=async_op)

    dist.all_reduce = noted
    weights = [layers[0], unused, *layers[1:]]
    value = 2 * (parallel.rank() + 1) * torch.ones(4)
    for weight in layers:
        value = value * weight
    with summed_gradients(weights, entries=4):
        torch.autograd.backward(value.sum(), inputs=weights)
    dist.all_reduce = reduce
    left = None if unused.grad is None else unused.grad[0].item()
    return events, layers[0].grad[0].item(), layers[3].grad[0].item(), left


Normalised = tuple[Tensor, Tensor, dict[str, Tensor]]  # what a norm gives, the images' gradient, what the norm keeps


class Active(nn.BatchNorm2d):
    """A batch norm with an activation of its own, as timm's have."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = nn.Sigmoid()

    def forward(self, images):
        return self.act(super().forward(images))


class Odd(nn.BatchNorm2d):
    """A batch norm that does something that cannot be known."""

    def forward(self, images):
        return super().forward(images) + 1


def normalise(images: Tensor, weights: Tensor) -> list[Normalised]:
    """What batch norms do to a worker's part of the images, in a loss of these weights."""
    found = []
    channels = images.shape[1]
    norms = [nn.BatchNorm2d(channels), nn.BatchNorm2d(channels, momentum=None), Active(channels)]
    for norm in [*norms, nn.SyncBatchNorm(channels)]:
        share_statistics(norm)
        mine, of_loss = (each[parallel.rank() :: parallel.workers()] for each in (images, weights))
        mine = mine.clone().requires_grad_()
        given = norm(mine)
        (given * of_loss).sum().backward()
        with unrecorded_statistics(norm):
            norm(mine.detach() + 1)
        found.append((given.detach(), mine.grad, norm.state_dict()))
    return found


@pytest.mark.slow
def test_a_batch_norm_of_three_workers_is_that_of_the_whole_batch(tmp_path: Path):
    draw = torch.Generator().manual_seed(0)
    images, weights = (torch.randn(10, 4, 3, 3, generator=draw) + 50 * scale for scale in (1, 0))
    whole = normalise(images, weights)
    for rank, parts in enumerate(run_on_gloo(3, tmp_path, normalise, images, weights)):
        for (given, own, kept), (expected, gradient, state) in zip(parts, whole, strict=True):
            torch.testing.assert_close(given, expected[rank::3], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(own, gradient[rank::3], rtol=1e-3, atol=1e-4)
            assert all(torch.allclose(kept[name], value, rtol=1e-4) for name, value in state.items())


def refuse_odd() -> str:
    """What is said of a norm that workers cannot share."""
    with pytest.raises(ValueError) as refused:
        share_statistics(nn.Sequential(Odd(4)))
    return str(refused.value)


@pytest.mark.slow
def test_a_norm_that_does_more_than_is_known_is_refused_where_workers_would_share_it(tmp_path: Path):
    odd = nn.Sequential(Odd(4))
    share_statistics(odd)
    assert type(odd[0]) is Odd  # a single worker's statistics are those of the mini-batch already
    assert set(run_on_gloo(2, tmp_path, refuse_odd)) == {
        "Odd is no batch norm that workers can share: train on one worker"
    }


SETTINGS = TrainingSettings(learning_rate=0.01, iterations=3, batch_size=15)


QUICK = {"acet": {"steps": 2}, "vos": {"queue": 3, "draws": 20, "start_epoch": 0}}


def train_some(name: str, data: Split) -> dict[str, Tensor]:
    """The weights after some iterations of a method."""
    method = build_method(name, QUICK.get(name, {}))
    if hasattr(method, "sampler"):  # chains amplify rounding: one step of them shows what is shared
        method = replace(method, sampler=SamplerSettings(min_steps=1, max_steps=1))
    discriminator = Discriminator(Architecture("resnet18", classes=2, size=16, width=1 / 16, head=method.head), 0)
    players = players_of(discriminator, method, SETTINGS, 0)
    for _ in train(discriminator, players, data, method, SETTINGS, Augmentation(16), seed=0):
        pass
    return dict(discriminator.network.state_dict())


APART = {  # most by which weights may differ, of the way that they moved
    "standard": 1e-3,
    "gaussian": 1e-3,
    "logitnorm": 1e-3,
    "t2fnorm": 1e-3,
    "vos": 1e-3,
    "acet": 0.5,
    "ascood": 0.5,  # pixels of nearly the same importance
    "fig": 0.5,  # a sign that rounding turns moves a pixel by a whole step
    "jcl": 0.5,  # Adam's first steps depend on signs alone
}


def train_each(names: list[str], data: Split) -> dict[str, dict[str, Tensor]]:
    return {name: train_some(name, data) for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])  # four have more workers than low-entropy samples
def test_workers_train_the_weights_and_the_running_statistics_of_one(count: int, stripes: Split, tmp_path: Path):
    alone = train_each(list(APART), stripes)
    first, *others = run_on_gloo(count, tmp_path, train_each, list(APART), stripes)
    before = Discriminator(Architecture("resnet18", classes=2, size=16, width=1 / 16), 0).network.state_dict()
    for name, weights in alone.items():
        assert all(value.equal(other[name][key]) for other in others for key, value in first[name].items())
        for kind in ("weight", "running_mean", "running_var"):
            keys = [key for key in weights if key.endswith(kind)]
            moved, apart = (
                torch.cat([(weights[key] - other[key]).flatten() for key in keys]).norm()
                for other in (before, first[name])
            )
            assert apart < APART[name] * moved


@pytest.fixture
def gpu_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch says that there is a GPU; whatever is sent there fails."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)  # torch's optimisers ask it, or
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)  # before torch 2.10 this


@pytest.mark.usefixtures("gpu_in_sight")
def test_a_worker_without_a_gpu_works_on_the_cpu_though_it_sees_one():
    assert parallel.device_for(0) == torch.device("cpu")
    assert parallel.device_for(0.5) == parallel.own_device() == torch.device("cuda", 0)


def test_a_worker_that_was_given_a_gpu_and_sees_none_says_so(caplog: pytest.LogCaptureFixture):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert parallel.device_for(1) == torch.device("cpu")
    assert "was given 1 of a GPU and sees none" in caplog.text


@pytest.mark.usefixtures("gpu_in_sight")
@pytest.mark.parametrize("name", METHODS)
def test_a_network_on_the_cpu_is_trained_there_where_there_is_a_gpu(name: str, stripes: Split):
    assert all(value.device.type == "cpu" for value in train_some(name, stripes).values())


@pytest.mark.usefixtures("gpu_in_sight")
@pytest.mark.parametrize("name", ["baseline", "odin", "mahalanobis", "residual_flow", "gram"])
def test_a_network_on_the_cpu_is_evaluated_there_where_there_is_a_gpu(name: str, small: Discriminator, stripes: Split):
    quick = {"odin": {"magnitudes": [0.01]}, "residual_flow": {"epochs": 1}}
    assert len(scores(build_detector(name, quick.get(name, {})), small, stripes)) == len(stripes.images)
