"""What only a GPU can show; skipped where there is none."""

from dataclasses import replace

import pytest
import torch

from fig.data.arrays import Split
from fig.data.augment import Augmentation
from fig.discriminator import Architecture, Discriminator
from fig.methods.table import METHODS, method_class
from fig.sampler import SamplerSettings, sample
from fig.sampling import Request, draw
from fig.training import TrainingSettings, players_of, train

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
    method = method_class(name)()
    small = Discriminator(Architecture("resnet18", classes=2, size=16, width=1 / 16, head=method.head)).cuda()
    settings = TrainingSettings(0.01, iterations=3, batch_size=16, precision=precision)
    steps = train(small, players_of(small, method, settings, 0), stripes, method, settings, Augmentation(16), seed=0)
    assert [done for done, _ in steps] == [1, 2, 3]
