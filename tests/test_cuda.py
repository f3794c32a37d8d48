"""What only a GPU can show; skipped where there is none."""

import os
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fig import parallel
from fig.checkpoint import Progress, load_checkpoint, save_checkpoint
from fig.data.arrays import Split
from fig.detectors.table import build_detector
from fig.discriminator import Architecture, Discriminator
from fig.evaluation import scores
from fig.methods.batch import Batch
from fig.methods.implicit_generator import ImplicitGenerator
from fig.methods.protocol import NETWORK, Player
from fig.methods.standard import Standard
from fig.methods.table import METHODS, build_method
from fig.precision import computing
from fig.replay import recordings_of
from fig.runtime.cluster import run_on_workers
from fig.runtime.record import Times
from fig.sampler import sample
from fig.sampling import Request, draw
from fig.settings import Augmentation, Precision, Resources, SamplerSettings, TrainingSettings
from fig.training import players_of, train, update

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
SHAPE = (3, 16, 16)


def again() -> torch.Generator:
    return torch.Generator("cuda").manual_seed(7)


@pytest.mark.parametrize("precision", get_args(Precision))
def test_samples_do_not_depend_on_how_often_a_gpu_is_looked_at(small: Discriminator, precision: str):
    network = small.cuda().network
    settings = SamplerSettings(precision=precision)
    often, rarely = (sample(network, 64, SHAPE, settings, again(), stride=stride) for stride in (1, 5))
    assert often.images.is_cuda and (often.steps == rarely.steps).float().mean() > 0.9
    assert often.confidence.mean().item() == pytest.approx(rarely.confidence.mean().item(), abs=0.02)


@pytest.mark.parametrize("precision", get_args(Precision))
@pytest.mark.parametrize("count", [12, 200])
def test_chains_that_a_graph_moves_end_where_they_would_step_by_step(small: Discriminator, precision: str, count: int):
    network = small.cuda().network
    settings = SamplerSettings(precision=precision)
    for _ in range(2):  # the graphs are recorded, then replayed by others of other weights
        watched = sample(network, count, SHAPE, settings, again(), watch=lambda state, info: None)
        replayed = sample(network, count, SHAPE, settings, again())
        assert (watched.steps == replayed.steps).float().mean() > 0.9
        assert watched.confidence.mean().item() == pytest.approx(replayed.confidence.mean().item(), abs=0.02)
        recordings = recordings_of(network).found.values()
        assert recordings and all(graph for recording in recordings for graph in recording.replays.values())
        with torch.no_grad():
            for weight in network.parameters():
                weight.mul_(0.9)


class Asking(nn.Module):
    """A network that reads back from the GPU, which no graph can hold."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images) if images.sum().item() < 1e9 else images.flatten(1)


def test_a_network_that_cannot_be_recorded_is_sampled_all_the_same(small: Discriminator, caplog):
    network = Asking(small.cuda().network)
    expected = sample(network, 12, SHAPE, SamplerSettings(), again(), watch=lambda state, info: None)
    found = sample(network, 12, SHAPE, SamplerSettings(), again())
    assert found.images.equal(expected.images)
    assert "no CUDA graph of this network can be recorded" in caplog.text


def test_a_gpu_and_a_cpu_find_the_same_confidence(small: Discriminator):
    request = Request(500, SHAPE, replace(SamplerSettings(), min_steps=30, max_steps=30))
    here = draw(small.network, request, progress=False)
    there = draw(small.cuda().network, request, progress=False)
    assert there.confidence.mean().item() == pytest.approx(here.confidence.mean().item(), abs=0.02)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("precision", get_args(Precision))
def test_every_method_trains_on_a_gpu(name: str, precision: str, stripes: Split):
    method = build_method(name, {})
    small = Discriminator(Architecture("resnet18", classes=2, size=16, width=1 / 16, head=method.head)).cuda()
    settings = TrainingSettings(0.01, iterations=3, batch_size=16, precision=precision)
    steps = train(small, players_of(small, method, settings, 0), stripes, method, settings, Augmentation(16), seed=0)
    assert [done for done, _ in steps] == [1, 2, 3]


def test_a_training_in_bfloat16_stays_near_one_in_float32(small: Discriminator, stripes: Split):
    ends = []
    for precision in get_args(Precision):
        found = Discriminator(small.architecture, seed=0).cuda()
        settings = TrainingSettings(0.05, iterations=60, batch_size=16, precision=precision)
        players = players_of(found, Standard(), settings, 0)
        rows = [row for _, row in train(found, players, stripes, Standard(), settings, Augmentation(16), seed=0)]
        ends.append(mean(row["loss"] for row in rows[-10:]))
        assert all(weight.dtype == torch.float32 for weight in found.network.parameters())
    assert ends == pytest.approx([ends[0]] * len(ends), abs=0.05)


def test_float32_is_float32_and_tf32_is_not():
    network = nn.Conv2d(64, 64, 3).cuda()
    images = torch.randn(8, 64, 32, 32, device="cuda")
    exact = deepcopy(network).double()(images.double())
    errors = {}
    for precision in ("float32", "tf32"):
        with computing(precision, images.device):
            errors[precision] = (network(images) - exact).abs().max().item()
    assert errors["float32"] < 1e-5 < errors["tf32"]


def weights_after(stripes: Split, folder: Path, method: str, stop: int) -> dict[str, Tensor]:
    """The weights of a training that goes on from its checkpoint and is stopped after some iterations."""
    made = replace(ImplicitGenerator(0.5), sampler=SamplerSettings(max_steps=11)) if method == "fig" else Standard()
    discriminator = Discriminator(Architecture("resnet18", classes=2, size=16, width=1 / 4), 0).cuda()
    settings = TrainingSettings(0.05, iterations=12, batch_size=16, deterministic=True)
    players = players_of(discriminator, made, settings, 0)
    start = load_checkpoint(folder, "key", players).done
    for done, _ in train(discriminator, players, stripes, made, settings, Augmentation(16, 1, True), 0, start):
        if done == stop:
            save_checkpoint(folder, "key", players, Progress(done))
            break
    return dict(discriminator.network.state_dict())


@pytest.mark.parametrize("method", ["standard", "fig"])
def test_a_deterministic_training_that_is_stopped_and_resumed_ends_with_the_same_weights(
    method: str, stripes: Split, tmp_path: Path
):
    whole = weights_after(stripes, tmp_path / "whole", method, 12)
    weights_after(stripes, tmp_path / "parts", method, 5)
    resumed = weights_after(stripes, tmp_path / "parts", method, 12)
    assert all(value.equal(resumed[name]) for name, value in whole.items())


@pytest.mark.parametrize("name", ["baseline", "odin", "mahalanobis", "residual_flow", "gram"])
def test_detectors_score_as_on_a_cpu(name: str, small: Discriminator, stripes: Split):
    quick = {"odin": {"magnitudes": [0.01]}, "mahalanobis": {"magnitudes": [0]}, "residual_flow": {"epochs": 2}}
    detector = build_detector(name, quick.get(name, {}))
    there = scores(detector, small, stripes)  # left on the CPU where there is a GPU
    here = scores(detector, small.cuda(), stripes)
    assert np.corrcoef(here[:, -1], there[:, -1])[0, 1] > 0.98


def one_step(settings: None) -> tuple[str, list[int], list[float]]:
    """The backend, the workers' devices, and the weights of a linear network after a step on a batch of 16."""
    draw = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with torch.no_grad():
        network[1].weight.copy_(torch.randn(2, 12, generator=draw))
        network[1].bias.zero_()
    here = parallel.own_device()
    images, labels = torch.randn(16, 3, 2, 2, generator=draw).to(here), (torch.arange(16) % 2).to(here)
    edge = torch.ones(3, 1, 1, device=here)
    batch = Batch(images, labels, -edge, 2 * edge, rank=parallel.rank(), workers=parallel.workers())
    player = Player(network.to(here), torch.optim.SGD(network.parameters(), 0.1))
    update({NETWORK: player}, Standard(), batch, torch.Generator(here).manual_seed(0))
    backend = torch.distributed.get_backend() if parallel.workers() > 1 else ""
    devices = parallel.gather_parts(torch.tensor([here.index]), parallel.workers())
    return backend, devices.tolist(), network[1].weight.flatten().tolist()


@pytest.mark.pipeline
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are no two CUDA devices")
def test_two_workers_exchange_by_nccl_from_a_gpu_each_and_step_as_one(monkeypatch: pytest.MonkeyPatch):
    here = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", here)
    _, _, expected = one_step(None)
    backend, devices, weights = run_on_workers(one_step, None, Resources(workers=2, gpus_per_worker=1), Times())
    assert "nccl" in backend and devices == [0, 1]
    assert weights == pytest.approx(expected, rel=1e-4, abs=1e-6)
