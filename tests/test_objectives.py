"""The objective (Eq. 20) by hand and in its parts."""

import math
from typing import get_args

import pytest
import torch

from fig.methods.table import PenaltyName
from fig.objectives import PENALTIES, cross_entropy, divergence_from_uniform, fig_objective, negative_entropy

LOGITS = torch.tensor([[0.0, math.log(3)], [math.log(3), 0.0]])
LABELS = torch.tensor([1, 1])
UNSURE = torch.tensor([[2.0, 2.0], [0.0, math.log(3)]])


def test_the_objective_by_hand():
    ce = -(math.log(0.75) + math.log(0.25)) / 2
    plogp = (math.log(0.5) + 0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / 2
    assert cross_entropy(LOGITS, LABELS).item() == pytest.approx(ce, rel=1e-6)
    assert negative_entropy(UNSURE).item() == pytest.approx(plogp, rel=1e-6)
    for weight in (1, 0.5):
        found = fig_objective(LOGITS, LABELS, UNSURE, weight=weight)
        assert found.item() == pytest.approx(ce + weight * plogp, rel=1e-6)
    assert fig_objective(LOGITS, LABELS, UNSURE).equal(fig_objective(LOGITS, LABELS, UNSURE, weight=1))  # Eq. 20


def test_each_penalty_is_least_for_uniform_probabilities_and_one_does_not_saturate():
    assert PENALTIES.keys() == set(get_args(PenaltyName))
    sure = torch.tensor([[40.0, 0.0, 0.0]])
    gradients = {}
    for name, penalty in PENALTIES.items():
        assert fig_objective(LOGITS, LABELS, sure, penalty=name) == cross_entropy(LOGITS, LABELS) + penalty(sure, None)
        assert all(penalty(torch.zeros(1, 3), None) < penalty(torch.tensor([[by, 0, 0]]), None) for by in (-0.1, 0.1))
        logits = sure.clone().requires_grad_()
        (gradients[name],) = torch.autograd.grad(penalty(logits, None), logits)
    assert gradients["entropy"].abs().max() < 1e-12  # the network that is surest learns nothing
    torch.testing.assert_close(gradients["divergence"], torch.tensor([[1.0, 0.0, 0.0]]) - 1 / 3)  # q - 1/C


def test_without_generated_images_the_objective_is_cross_entropy():
    assert fig_objective(LOGITS, LABELS, UNSURE[:0]).equal(cross_entropy(LOGITS, LABELS))


def test_the_parts_of_two_workers_add_up_to_the_whole():
    whole = fig_objective(LOGITS, LABELS, UNSURE)
    parts = [fig_objective(LOGITS[[i]], LABELS[[i]], UNSURE[[i]], total=2, ood_total=2) for i in (0, 1)]
    torch.testing.assert_close(sum(parts), whole)


def test_the_divergence_from_uniform_is_the_mean_of_torchs_and_adds_up_from_parts():
    logits = torch.tensor([[0.0, 1.0, -2.0], [3.0, 3.0, 3.0]])
    uniform = torch.distributions.Categorical(probs=torch.ones(2, 3))
    expected = torch.distributions.kl_divergence(uniform, torch.distributions.Categorical(logits=logits))
    torch.testing.assert_close(divergence_from_uniform(logits), expected.mean())
    torch.testing.assert_close(sum(divergence_from_uniform(logits[[i]], total=2) for i in (0, 1)), expected.mean())
    assert divergence_from_uniform(logits[1:]).item() == pytest.approx(0, abs=1e-6)


def test_minimising_negative_entropy_makes_the_discriminator_uniform():
    logits = UNSURE.clone().requires_grad_()
    optimizer = torch.optim.SGD([logits], lr=5)
    for _ in range(200):
        optimizer.zero_grad()
        negative_entropy(logits).backward()
        optimizer.step()
    torch.testing.assert_close(logits.softmax(1), torch.full((2, 2), 0.5), atol=1e-3, rtol=0)
