"""What holds for every detector, and the baseline by hand."""

import numpy as np
import pytest
import torch

from fig.data.arrays import Split
from fig.data.batches import images_at
from fig.detectors import DETECTORS
from fig.detectors.baseline import Baseline, log_odds
from fig.discriminator import Discriminator
from fig.evaluation import accuracy, metric_rows, scores


@pytest.mark.parametrize("name", DETECTORS)
def test_an_image_has_one_finite_score_whatever_batch_it_is_in(name: str, small: Discriminator, stripes: Split):
    small.eval()
    inputs = small.scaled(images_at(stripes, torch.arange(10)))
    together = DETECTORS[name]().score(small.network, inputs)
    alone = torch.cat([DETECTORS[name]().score(small.network, inputs[[i]]) for i in range(10)])
    assert together.shape == (10,) and together.dtype == torch.float64 and together.isfinite().all()
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_baseline_orders_by_the_maximum_softmax_probability_without_its_ties():
    logits = torch.tensor([[2.0, 1.0, 0.0], [60.0, 0.0, 0.0], [50.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    probability = logits.softmax(1).amax(1)
    assert probability[1] == probability[2]  # rounded to 1: tied
    odds = log_odds(logits)
    assert odds.argsort(descending=True).tolist() == [1, 2, 0, 3]
    torch.testing.assert_close(odds[[0, 3]].sigmoid(), probability[[0, 3]])


def test_baseline_takes_the_log_odds_of_the_networks_logits():
    network = torch.nn.Flatten()
    images = torch.tensor([[1.0, 3.0], [0.0, 0.0]]).view(2, 2, 1, 1)
    assert Baseline().score(network, images).tolist() == pytest.approx([2.0, 0.0])


def test_scores_do_not_depend_on_how_images_are_batched_or_on_the_mode(small: Discriminator, stripes: Split):
    small.train()
    whole = scores(Baseline(), small, stripes)
    inputs = small.eval().scaled(images_at(stripes, torch.arange(40)))
    np.testing.assert_allclose(whole, Baseline().score(small.network, inputs).numpy(), rtol=1e-5)
    assert 0 <= accuracy(small, stripes) <= 1


def test_every_metric_of_every_ood_set_is_one_row():
    sets = {"id": np.array([2.0, 3.0]), "far": np.array([0.0, 1.0]), "near": np.array([2.5, 2.6])}
    rows = list(metric_rows(0.9, {"baseline": sets}))
    values = {(row["ood_dataset"], row["metric"]): row["value"] for row in rows}
    assert values["", "accuracy"] == 0.9
    assert (values["far", "auroc"], values["near", "auroc"]) == (1.0, 0.5)
    assert values["far", "harmonic_mean"] == pytest.approx(2 * 0.9 / 1.9)
    assert len(rows) == 1 + 2 * 5
