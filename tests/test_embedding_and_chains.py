"""What the stages behind Figures 4 and 5 keep: features in a plane, and the images of chains."""

import numpy as np
import pytest
import torch
from torch import nn

from fig.detectors.library import penultimate
from fig.networks.taps import kept_at
from fig.sampler import Samples
from fig.stages.support.long_chains import choose_rows, wanted_class
from fig.stages.support.planes import FEWEST, project
from fig.stages.support.planes import choose_rows as choose_confident


def drawn(confidence: list[float]) -> Samples:
    given = torch.tensor(confidence)
    predicted = torch.arange(len(given)) % 3
    return Samples(torch.zeros(len(given), 3, 4, 4), given, -given, predicted, predicted)


def test_where_no_sample_is_confident_the_most_confident_few_are_laid_out():
    assert choose_confident(drawn([0.95, 0.2, 0.91]), 0.9).tolist() == [0, 2]
    below = torch.linspace(0.1, 0.6, 30).tolist()
    rows = choose_confident(drawn(below), 0.9)
    assert len(rows) == FEWEST and rows[0] == 29


def test_penultimate_features_times_the_last_weights_are_the_logits():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 4, 7))
    images = torch.rand(6, 3, 4, 4)
    features = kept_at(network, penultimate(network, images), images)
    torch.testing.assert_close(network[-1](features), network(images))


def test_an_embedding_keeps_apart_what_is_far_apart_and_a_seed_gives_it_again():
    centres = np.repeat([[0.0], [50.0]], 20, axis=0)
    features = centres + np.random.default_rng(0).normal(size=(40, 8))
    points = project(features, seed=3)
    np.testing.assert_array_equal(points, project(features, seed=3))
    one, other = points[:20], points[20:]
    spread = max(np.ptp(one, axis=0).max(), np.ptp(other, axis=0).max())
    assert np.linalg.norm(one.mean(axis=0) - other.mean(axis=0)) > spread


def test_chains_are_kept_in_their_order_if_of_the_wanted_class_else_the_most_confident():
    given = drawn([0.5, 0.9, 0.7, 0.6, 0.8, 0.4, 0.3])  # predicted as 0 1 2 0 1 2 0
    assert choose_rows(given, wanted=0, images=2).tolist() == [0, 3]
    assert choose_rows(given, wanted=0, images=8).tolist() == [0, 3, 6]
    assert choose_rows(given, wanted=7, images=2).tolist() == [1, 4]
    assert choose_rows(given, wanted=None, images=2).tolist() == [0, 1]


def test_a_class_that_the_data_set_lacks_is_refused(stripes):
    path = stripes.images.filename
    assert wanted_class(path, {"stripes": "vertical"})[1] == "vertical"
    assert wanted_class(path, {"other": "vertical"})[1] == ""
    with pytest.raises(ValueError, match=r"chains\.wanted\.stripes is 'dog': its classes are horizontal, vertical"):
        wanted_class(path, {"stripes": "dog"})
