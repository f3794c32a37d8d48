"""What docs/extending.md adds does what the page says."""

from pathlib import Path

import pytest
import torch
from torch import nn

from fig.data.arrays import Split
from fig.detectors.protocol import Seen
from fig.discriminator import Discriminator
from fig.evaluation import scores
from fig.methods.batch import Batch
from fig.methods.protocol import NETWORK
from support.workspace import blocks

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


def example(number: int) -> dict:
    """What the page's Python block of this number defines, each a whole file of under a hundred lines."""
    code = blocks(PAGE, "python")[number]
    assert code.count("\n") < 100
    scope: dict = {"__name__": f"fig.example{number}"}
    exec(code, scope)
    return scope


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_the_method_of_the_page_rewards_entropy_by_its_weight(weight: float):
    method = example(0)["ConfidencePenalty"](weight=weight)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    black, unit = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    batch = Batch(torch.randn(5, 3, 2, 2), torch.tensor([0, 1, 2, 0, 1]), black, unit)
    (found,) = method.losses({NETWORK: network}, batch, torch.Generator())
    logits = network(batch.whole)
    entropies = torch.distributions.Categorical(logits=logits).entropy()
    expected = nn.functional.cross_entropy(logits, batch.whole_labels) - weight * entropies.mean()
    torch.testing.assert_close(found.value, expected)


def test_the_detector_of_the_page_scores_the_margin(small: Discriminator, stripes: Split):
    margin = example(1)["Margin"]()
    logits = torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 2.0]])
    assert margin.scores(Seen(torch.arange(2), logits, logits, {})).tolist() == [[2.0], [0.0]]
    assert scores(margin, small, stripes).shape == (40, 1)
