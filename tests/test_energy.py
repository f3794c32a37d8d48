"""Confidence, entropy and energy against values computed by hand, by limits and by autograd."""

import math

import pytest
import torch

from fig.energy import confidence, energy, energy_gradient, entropy


def test_energy_is_equation_16_by_hand():
    u = (0.4, -0.2)  # logits / c
    expected = sum(value * (1 - math.exp(value)) for value in u)
    assert energy(torch.tensor([[2.0, -1.0]])).item() == pytest.approx(expected, rel=1e-6)
    assert energy(torch.tensor([[0.8, -0.4]]), c=2).item() == pytest.approx(expected, rel=1e-6)


def test_energy_of_zero_logits_is_zero_and_falls_as_one_logit_grows():
    logits = torch.zeros(4, 3)
    logits[:, 0] = torch.tensor([0.0, 5.0, 10.0, 20.0])
    values = energy(logits)
    assert values[0] == 0 and (values.diff() < 0).all()


def test_closed_form_gradient_is_autograds():
    logits = torch.linspace(-30, 30, 40, dtype=torch.float64).view(8, 5).requires_grad_()
    (expected,) = torch.autograd.grad(energy(logits).sum(), logits)
    torch.testing.assert_close(energy_gradient(logits.detach()), expected)


def test_entropy_by_hand_and_at_its_ends():
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [100.0, 0.0, 0.0, 0.0], [0.0, math.log(3), -1e4, -1e4]])
    quarter = 0.25 * math.log(4) + 0.75 * math.log(4 / 3)
    torch.testing.assert_close(entropy(logits), torch.tensor([math.log(4), 0.0, quarter]))


def test_confidence_is_the_largest_probability_and_survives_large_logits():
    logits = torch.tensor([[0.0, math.log(3)], [1e4, -1e4]])
    torch.testing.assert_close(confidence(logits), torch.tensor([0.75, 1.0]))
