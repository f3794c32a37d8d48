"""What only a GPU can show; skipped where there is none."""

import os
from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest
import torch
from torch import nn

from fig import parallel
from fig.data.arrays import Split
from fig.discriminator import Architecture, Discriminator
from fig.methods.batch import Batch
from fig.methods.protocol import NETWORK, Player
from fig.methods.standard import Standard
from fig.methods.table import METHODS, build_method
from fig.runtime.cluster import run_on_workers
from fig.runtime.record import Times
from fig.sampler import sample
from fig.sampling import Request, draw
from fig.settings import Augmentation, Resources, SamplerSettings, TrainingSettings
from fig.training import players_of, train, update

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
SHAPE = (3, 16, 16)


def again() -> torch.Generator:
    return torch.Generator("cuda").manual_seed(7)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_samples_do_not_depend_on_how_often_a_gpu_is_looked_at(small: Discriminator, precision: str):
    network = small.cuda().network
    settings = SamplerSettings(precision=precision)
    often, rarely = (sample(network, 64, SHAPE, settings, again(), stride=stride) for stride in (1, 5))
    assert often.images.is_cuda and (often.steps == rarely.steps).float().mean() > 0.9
    assert often.confidence.mean().item() == pytest.approx(rarely.confidence.mean().item(), abs=0.02)


def test_a_gpu_and_a_cpu_find_the_same_confidence(small: Discriminator):
    request = Request(500, SHAPE, replace(SamplerSettings(), min_steps=30, max_steps=30))
    here = draw(small.network, request, progress=False)
    there = draw(small.cuda().network, request, progress=False)
    assert there.confidence.mean().item() == pytest.approx(here.confidence.mean().item(), abs=0.02)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_method_trains_on_a_gpu(name: str, precision: str, stripes: Split):
    method = build_method(name, {})
    small = Discriminator(Architecture("resnet18", classes=2, size=16, width=1 / 16, head=method.head)).cuda()
    settings = TrainingSettings(0.01, iterations=3, batch_size=16, precision=precision)
    steps = train(small, players_of(small, method, settings, 0), stripes, method, settings, Augmentation(16), seed=0)
    assert [done for done, _ in steps] == [1, 2, 3]


def test_a_training_in_bfloat16_stays_near_one_in_float32(small: Discriminator, stripes: Split):
    ends = []
    for precision in ("float32", "bfloat16"):
        found = Discriminator(small.architecture, seed=0).cuda()
        settings = TrainingSettings(0.05, iterations=60, batch_size=16, precision=precision)
        players = players_of(found, Standard(), settings, 0)
        rows = [row for _, row in train(found, players, stripes, Standard(), settings, Augmentation(16), seed=0)]
        ends.append(mean(row["loss"] for row in rows[-10:]))
        assert all(weight.dtype == torch.float32 for weight in found.network.parameters())
    assert ends[1] == pytest.approx(ends[0], abs=0.05)


def one_step(settings: None) -> tuple[str, list[int], list[float]]:
    """The backend, the workers' devices, and the weights of a linear network after a step on a batch of 16."""
    draw = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with torch.no_grad():
        network[1].weight.copy_(torch.randn(2, 12, generator=draw))
        network[1].bias.zero_()
    here = parallel.device()
    images, labels = torch.randn(16, 3, 2, 2, generator=draw).to(here), (torch.arange(16) % 2).to(here)
    edge = torch.ones(3, 1, 1, device=here)
    batch = Batch(images, labels, -edge, 2 * edge, rank=parallel.rank(), workers=parallel.workers())
    player = Player(network.to(here), torch.optim.SGD(network.parameters(), 0.1))
    update({NETWORK: player}, Standard(), batch, torch.Generator(here).manual_seed(0))
    backend = torch.distributed.get_backend() if parallel.workers() > 1 else ""
    devices = parallel.gathered(torch.tensor([here.index]), parallel.workers())
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
