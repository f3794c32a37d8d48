"""T2FNorm: training on features of constant length (Regmi et al., CVPR Workshops 2024, arXiv 2305.17797)."""

from typing import ClassVar

from fig.methods.standard import Standard
from fig.settings import settings


@settings
class T2FNorm(Standard):
    """Standard training of a network whose last features are divided by their length, in training alone, and by 0.1."""

    head: ClassVar[str] = "t2fnorm"
