"""LogitNorm: the cross-entropy of logits of constant length (Wei et al., ICML 2022, arXiv 2205.09310)."""

from typing import ClassVar

from fig.methods.standard import Standard
from fig.settings import settings


@settings
class LogitNorm(Standard):
    """Standard training of a network whose logits are divided by their length and 0.04, in training alone."""

    head: ClassVar[str] = "logitnorm"
