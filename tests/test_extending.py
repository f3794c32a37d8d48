"""What docs/extending.md adds does what the page says."""

from pathlib import Path

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


def test_the_method_of_the_page_knows_no_length_of_logits():
    method = example(0)["LogitNorm"]()
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    black, unit = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    batch = Batch(torch.randn(5, 3, 2, 2), torch.tensor([0, 1, 2, 0, 1]), black, unit)

    def loss() -> torch.Tensor:
        (found,) = method.losses({NETWORK: network}, batch, torch.Generator())
        return found.value

    before = loss()
    with torch.no_grad():
        network[1].weight.mul_(3), network[1].bias.mul_(3)
    torch.testing.assert_close(loss(), before)


def test_the_detector_of_the_page_scores_the_margin(small: Discriminator, stripes: Split):
    margin = example(1)["Margin"]()
    logits = torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 2.0]])
    assert margin.scores(Seen(torch.arange(2), logits, logits, {})).tolist() == [[2.0], [0.0]]
    assert scores(margin, small, stripes).shape == (40, 1)
