"""What a variant is made by, from the JSON on a stage's command line."""

from dataclasses import dataclass
from typing import Any

from fig.data.augment import Augmentation
from fig.methods.protocol import Method
from fig.methods.table import SECTIONS, method_class
from fig.settings import settings_of
from fig.stages.options import parsed
from fig.training import TrainingSettings


@dataclass(frozen=True)
class Stated:
    """What `--settings` says of a variant: its method, and the settings of the method and its training."""

    method: str
    settings: dict[str, Any]  # the method's
    training: dict[str, Any]
    augmentation: dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """A method, and how images are augmented and weights trained under it."""

    method: Method
    training: TrainingSettings
    augmentation: Augmentation


def recipe_of(settings: str) -> Recipe:
    """The recipe that the JSON of a variant's settings states; raises ValueError naming what is wrong in it."""
    stated = settings_of(Stated, parsed(settings, "--settings"), "--settings")
    section = SECTIONS.get(stated.method, stated.method)
    return Recipe(
        settings_of(method_class(stated.method), stated.settings, section),
        settings_of(TrainingSettings, stated.training, "training"),
        settings_of(Augmentation, stated.augmentation, "augmentation"),
    )
