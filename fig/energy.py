"""Entropy, confidence and energy of a discriminator's logits (Eqs. 1, 2 and 16)."""

import torch
from torch import Tensor

NARROWING = 5.0  # the paper's c of Eq. 16: keeps exp(logit / c) within the floating-point range


def log_probabilities(logits: Tensor) -> Tensor:
    """Log of the class probabilities q(y|x) (Eq. 1): (B, C) logits -> (B, C), each at most 0."""
    return torch.log_softmax(logits, dim=1)


def confidence(logits: Tensor) -> Tensor:
    """Largest class probability: (B, C) logits -> (B,), in [1/C, 1]."""
    return log_probabilities(logits).amax(dim=1).exp()


def entropy(logits: Tensor) -> Tensor:
    """Shannon entropy of the class probabilities in nats (Eq. 2): (B, C) logits -> (B,), in [0, log C]."""
    log_q = log_probabilities(logits)
    return -(log_q.exp() * log_q).sum(dim=1)


def energy(logits: Tensor, c: float = NARROWING) -> Tensor:
    """Energy of the implicit generator (Eq. 16): (B, C) logits -> (B,), low where the discriminator is confident."""
    f = logits / c  # (B, C)
    return (f * (1 - f.exp())).sum(dim=1)


def energy_gradient(logits: Tensor, c: float = NARROWING) -> Tensor:
    """Derivative of the energy by the logits, in closed form: (B, C) -> (B, C).

    With u = f_y / c, Eq. 16 gives dE/df_y = (1 - (1 + u) exp u) / c.
    """
    u = logits / c  # (B, C)
    return (1 - (1 + u) * u.exp()) / c
