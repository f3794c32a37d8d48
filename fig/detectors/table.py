"""The table of detectors by name, with their settings; it does not import torch.

A detector's module is imported on request, so that a job depends only on the code of its own detectors.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
    Whole,
    Width,
    read_settings,
    settings,
    suggest,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from fig.detectors.protocol import Detector

Magnitudes = Annotated[tuple[NotNegative, ...], Field(min_length=1)]


@settings
class EnergySettings:
    """The temperature of the energy."""

    temperature: Positive = 1.0
    """Temperature of the sum over classes."""


@settings
class OdinSettings:
    """The grid of ODIN's temperatures and magnitudes."""

    temperatures: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
    """Temperatures of the softmax."""
    magnitudes: Magnitudes = tuple(round(0.0002 * step, 4) for step in range(21))
    """Magnitudes of the step, in units of the pixel range [0, 1]."""


@settings
class MahalanobisSettings:
    """The magnitudes of Mahalanobis' step."""

    magnitudes: Magnitudes = (0, 0.0005, 0.001, 0.0014, 0.002, 0.0024, 0.005, 0.01, 0.05, 0.1, 0.2)
    """Magnitudes of the step, in units of the pixel range [0, 1]."""


@settings
class ResidualFlowSettings:
    """How residual flows are built and trained.

    The FIG paper takes magnitude 0.05 for CIFAR10 and SVHN, 0.0025 for CIFAR100.
    """

    magnitudes: Magnitudes = (0.0025, 0.05)
    """Magnitudes of the step, in units of the pixel range [0, 1]."""
    couplings: Count = 10
    """Couplings of a flow."""
    hidden: Width = 1.0
    """Width of the couplings' networks, as a share of the number of features."""
    epochs: Whole = 1000
    """Length of a flow's training in passes over the features."""
    batch: Count = 256
    """Features of each class in a mini-batch."""
    learning_rate: Positive = 1e-5
    """Learning rate of Adam."""
    seed: Whole = 0
    """Seed of the flows' weights and batches."""


@settings
class GramSettings:
    """Which Gram matrices are compared, and with what."""

    orders: Annotated[tuple[Count, ...], Field(min_length=1)] = tuple(range(1, 11))
    """Orders of the Gram matrices, in rising order."""
    normalised_over: Literal["held-out", "test"] = "held-out"
    """Deviations are normalised over held-out training images, or over tenths of the ID test set (the authors)."""

    def __post_init__(self) -> None:
        if sorted(set(self.orders)) != list(self.orders):
            raise ValueError(f"orders is {list(self.orders)}: it must be in rising order")


@settings
class DeconfSettings:
    """The magnitudes of DeConf's step."""

    magnitudes: Magnitudes = (0, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08)
    """Magnitudes of the step, in units of the pixel range [0, 1]."""


@settings
class LibrarySettings:
    """A detector of pytorch-ood."""

    arguments: dict[str, Json] = Field(default_factory=dict)
    """Arguments of its class."""


@dataclass(frozen=True)
class DetectorRow:
    """What is known of a detector before its module is imported."""

    implementation: str  # module:Class, below fig.detectors
    title: str
    about: str
    settings: "type[DataclassInstance]" = NoSettings
    passes: int = 0  # forward passes over an image in addition to the shared one; a backward pass counts as two
    method: str = ""  # it scores discriminators of this method alone
    fitted: bool = False  # whether it looks at training images


DETECTORS = {
    "baseline": DetectorRow("baseline:Baseline", "baseline", "the maximum softmax probability"),
    "energy": DetectorRow("energy:Energy", "energy", "the log of the sum of exp(logits)", EnergySettings),
    "odin": DetectorRow(
        "odin:Odin", "ODIN", "softmax at a temperature, after a step towards the predicted class", OdinSettings, 230
    ),
    "mahalanobis": DetectorRow(
        "mahalanobis:Mahalanobis",
        "MLB",
        "distances to class means at every stage",
        MahalanobisSettings,
        60,
        fitted=True,
    ),
    "residual_flow": DetectorRow(
        "residual_flow:ResidualFlow",
        "DRF",
        "normalising flows of the same features",
        ResidualFlowSettings,
        20,
        fitted=True,
    ),
    "gram": DetectorRow("gram:Gram", "GM", "Gram matrices of features", GramSettings, 5, fitted=True),
    "deconf": DetectorRow(
        "deconf:Deconf",
        "DCC*",
        "the largest cosine of a `deconf` discriminator, after a step that raises it",
        DeconfSettings,
        method="deconf",
    ),
}
LIBRARY = DetectorRow("library:LibraryDetector", "pytorch-ood", "a class of pytorch-ood", LibrarySettings, fitted=True)


def detector_row(name: str, stated: Mapping[str, Json]) -> DetectorRow:
    """Return the row of the detector in an entry of a configuration, under a `name` that you may choose freely.

    The key `detector` identifies it: a name of DETECTORS, or a class of pytorch-ood, which contains a dot. Raises
    ValueError for an unknown detector.
    """
    which = stated.get("detector", name)
    if not isinstance(which, str):
        raise ValueError(f"detectors.{name}.detector is {which!r}: it must be a text")
    if "." in which:
        return LIBRARY
    if which not in DETECTORS:
        known = suggest(which, list(DETECTORS))
        raise ValueError(f"detectors.{name}: unknown detector {which!r}{known}, or a class of pytorch-ood")
    return DETECTORS[which]


def read_detector(name: str, stated: Mapping[str, Json]) -> "DataclassInstance":
    """The settings of the detector that an entry states; raises ValueError naming what is wrong."""
    own = {key: value for key, value in stated.items() if key != "detector"}
    return read_settings(detector_row(name, stated).settings, own, f"detectors.{name}")


def complete_entry(name: str, stated: Mapping[str, Json]) -> dict[str, Json]:
    """An entry with all its settings."""
    return {"detector": stated.get("detector", name), **asdict(read_detector(name, stated))}


def module_of_detector(name: str, stated: Mapping[str, Json]) -> str:
    """The module of the detector that an entry states."""
    return f"fig.detectors.{detector_row(name, stated).implementation.partition(':')[0]}"


def build_detector(name: str, stated: Mapping[str, Json]) -> "Detector":
    """The detector that an entry states; raises ValueError naming what is wrong."""
    row = detector_row(name, stated)
    cls: Maker[Detector] = getattr(
        import_module(module_of_detector(name, stated)), row.implementation.partition(":")[2]
    )
    values = vars(read_detector(name, stated))
    return cls(name=stated.get("detector", name), **values) if row is LIBRARY else cls(**values)
