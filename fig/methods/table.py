"""The methods that one chooses by name: a row for each, with its settings; torch is not imported.

A method's module is imported when it is asked for, so that a job depends on the code of its own method alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from fig.settings import (
    Count,
    Json,
    Maker,
    NoSettings,
    NotNegative,
    Positive,
    SamplerSettings,
    Share,
    Whole,
    read_settings,
    settings,
    suggest,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from fig.methods.protocol import Method


StartName = Literal["uniform", "spectrum", "phases", "smooth", "patches"]  # of fig.starts
PenaltyName = Literal["entropy", "divergence"]  # of fig.objectives
Statistics = Literal["shared", "recomputed", "running"]


@settings
class PenaltySettings:
    """Settings of the penalty on OOD images (Eq. 20); the methods that have it differ in these images."""

    K: Share = 0.1
    """OOD images in a batch for each ID image: the paper's low-entropy share."""
    penalty: PenaltyName = "entropy"
    """What is minimised on OOD images: negative entropy (Eq. 20), or divergence from uniform: it does not saturate."""
    weight: NotNegative = 1.0
    """Weight of the penalty in the loss: 1 in Eq. 20. A smaller one costs less accuracy and teaches less."""
    statistics: Statistics = "shared"
    """Which statistics batch norms use for OOD images, and whose they keep for a test (docs/concepts.md)."""


@settings
class FigSettings(PenaltySettings):
    """Settings of FIG (Algorithm 2), whose OOD images are low-entropy samples."""

    sampler: SamplerSettings = SamplerSettings()
    """How the samples are drawn."""
    starts: Annotated[tuple[StartName, ...], Field(min_length=1)] = ("uniform",)
    """What chains start at, in equal shares: noise, images of scrambled phases, also low-passed, or moved patches."""


@settings
class MixupSettings:
    """Settings of MIXUP."""

    alpha: Positive = 1.0
    """Shares of the mixtures are drawn from Beta(alpha, alpha)."""


@settings
class AdversarialSettings:
    """Settings of AD: training on adversarial images too."""

    magnitude: NotNegative = 0.1
    """Magnitude of the perturbation."""
    unit: Literal["pixels", "inputs"] = "pixels"
    """Unit of the magnitude: the pixel range [0, 1] or the network's input space; the paper does not say which."""
    weight: Share = 0.5
    """Weight of the adversarial images in the loss."""


@settings
class JclSettings:
    """Settings of JCL: a GAN trained together with the network."""

    beta: NotNegative = 0.1
    """Weight of the divergence from the uniform distribution; the paper takes 1 for SVHN."""
    latent: Count = 100
    """Length of the generator's input."""
    filters: Count = 64
    """Channels of the thinnest layer of generator and critic."""
    learning_rate: Positive = 2e-4
    """Learning rate of Adam, for generator and critic."""


@settings
class AcetSettings:
    """Settings of ACET and CEDA: noise on which the network is not to be confident."""

    radius: Positive = 0.3
    """How far a pixel of noise may be moved, in the pixel range [0, 1]."""
    steps: Whole = 40
    """Steps by which noise is moved to where the network is confident; 0 is CEDA."""


@settings
class AscoodSettings:
    """Settings of ASCOOD; the defaults are those of its published results on CIFAR10."""

    weight: NotNegative = 1.0
    """Weight of the outliers' divergence from the uniform distribution; the authors take 5 for CIFAR100."""
    share: Share = 0.2
    """Share of an image's pixels that change places; the authors take 0.1 for CIFAR100."""


@settings
class VosSettings:
    """Settings of VOS; the defaults are the authors' for CIFAR10."""

    weight: NotNegative = 0.1
    """Weight of the logistic loss that tells ID features from outliers."""
    start_epoch: Whole = 40
    """Epochs without outliers; the authors train for 100."""
    queue: Count = 1000
    """Features of each class that its Gaussian is fitted to."""
    draws: Count = 10_000
    """Draws of a class's Gaussian, the least likely of which is an outlier."""
    learning_rate: Positive = 0.1
    """Learning rate of SGD at the start, for the energy's weights and the logistic layer."""


@dataclass(frozen=True)
class MethodRow:
    """What is known of a method before its module is imported."""

    implementation: str  # module:Class, below fig.methods
    title: str
    about: str
    settings: "type[DataclassInstance]" = NoSettings
    section: str = ""  # of the configuration, with its settings; empty: it has none
    base: str = (
        ""  # the variant that it fine-tunes where a variant names no other; empty: it begins with random weights
    )
    only_head: bool = False  # its network has another head, and nothing else is new: there is nothing to fine-tune
    follows_teacher: bool = False  # its sampler may follow a teacher
    cost: float = (
        1.0  # time of an iteration relative to standard training, without samples: docs/results/performance.md
    )
    cost_of_step: float = 0.0  # for each of the `steps` in its settings, added to `cost`
    cost_beside: float = 0.0  # arithmetic on an image of a GAN of 64 filters next to it, relative to a whole ResNet18's


METHODS = {
    "fig": MethodRow(
        "implicit_generator:ImplicitGenerator",
        "FIG",
        "low-entropy samples in every batch, which the classifier learns to be unsure about",
        FigSettings,
        "fig",
        base="standard",
        follows_teacher=True,
    ),
    "gaussian": MethodRow(
        "gaussian:Gaussian", "GS", "noise in place of FIG's samples", PenaltySettings, "gaussian", base="standard"
    ),
    "standard": MethodRow("standard:Standard", "standard", "plain training, for other lengths than pretraining's"),
    "scratch": MethodRow(
        "scratch:Scratch",
        "FIG from scratch",
        "FIG from random weights, whose samples come from the network as it was when the epoch began",
        FigSettings,
        "fig",
    ),
    "mixup": MethodRow(
        "mixup:Mixup", "MIXUP", "mixtures of pairs of images and of their labels", MixupSettings, "mixup"
    ),
    "adversarial": MethodRow(
        "adversarial:Adversarial",
        "AD",
        "training on images perturbed by the fast gradient sign too",
        AdversarialSettings,
        "adversarial",
        cost=3.1,
    ),
    "jcl": MethodRow(
        "jcl:JointConfidence",
        "JCL",
        "trained together with a GAN, unsure about its images",
        JclSettings,
        "jcl",
        cost=2.5,
        cost_beside=0.5,  # 1.67 of 3.33 GFLOP, by the table that `cost` is from
    ),
    "deconf": MethodRow("deconf:Deconf", "DCC*", "a decomposed head; its own detector is `deconf`", only_head=True),
    "logitnorm": MethodRow("logitnorm:LogitNorm", "LogitNorm", "logits of constant length in training", only_head=True),
    "t2fnorm": MethodRow(
        "t2fnorm:T2FNorm", "T2FNorm", "features of constant length before the last layer in training", only_head=True
    ),
    "acet": MethodRow(
        "acet:Acet",
        "ACET",
        "noise, moved to where the network is confident, on which it learns to be unsure; CEDA without steps",
        AcetSettings,
        "acet",
        cost=2.0,  # by arithmetic: as many noise images are trained on as ID images
        cost_of_step=82 / 40 / 3,  # 42 passes forward and 40 back by images in 40 steps, each a third of a training's
    ),
    "ascood": MethodRow(
        "ascood:Ascood",
        "ASCOOD",
        "images whose most telling pixels change places, as outliers for a network of normalised features",
        AscoodSettings,
        "ascood",
        cost=2.67,  # by arithmetic: an outlier is trained on for each image, after a pass forward and back by images
    ),
    "vos": MethodRow(
        "vos:Vos",
        "VOS",
        "least likely draws of each class's features, as outliers for a weighted energy",
        VosSettings,
        "vos",
        cost=1.1,  # outliers of a batch took 0.57 s to draw, against 4.9 s of a ResNet18 on one CPU core
    ),
}

SECTIONS = {row.section: row.settings for row in METHODS.values() if row.section}  # of the configuration


def check_method(name: str) -> None:
    """Raise ValueError where no method has this name."""
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}{suggest(name, list(METHODS))}")


def module_of_method(name: str) -> str:
    """The module of a method; raises ValueError where no method has this name."""
    check_method(name)
    return f"fig.methods.{METHODS[name].implementation.partition(':')[0]}"


def build_method(name: str, stated: Mapping[str, Json]) -> "Method":
    """The method of this name with settings that differ from its defaults as `stated`.

    Raises ValueError where no method has this name, or naming the setting that is wrong.
    """
    cls: Maker[Method] = getattr(import_module(module_of_method(name)), METHODS[name].implementation.partition(":")[2])
    complete = read_settings(METHODS[name].settings, stated, METHODS[name].section or name)
    return cls(**vars(complete))
