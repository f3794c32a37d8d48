"""The detectors that one chooses by name: each gives images a score, higher = more in-distribution."""

from collections.abc import Mapping
from typing import Any

from fig.detectors.baseline import Baseline
from fig.detectors.deconf import Deconf
from fig.detectors.gram import Gram
from fig.detectors.library import LibraryDetector
from fig.detectors.mahalanobis import Mahalanobis
from fig.detectors.odin import Odin
from fig.detectors.protocol import Detector
from fig.detectors.residual_flow import ResidualFlow
from fig.settings import settings_of

DETECTORS: dict[str, type[Detector]] = {
    "baseline": Baseline,
    "odin": Odin,
    "mahalanobis": Mahalanobis,
    "residual_flow": ResidualFlow,
    "gram": Gram,
    "deconf": Deconf,
}


def detector_of(name: str, stated: Mapping[str, Any]) -> Detector:
    """The detector that a configuration calls `name`.

    `stated` holds its settings; a key `detector` says which it is where the name is one's own: a name of DETECTORS,
    or a class of pytorch-ood with its `arguments`. Raises ValueError for what there is not.
    """
    settings = dict(stated)
    which = settings.pop("detector", name)
    if "." in which:
        return settings_of(LibraryDetector, settings | {"name": which}, f"detectors.{name}")
    if which not in DETECTORS:
        allowed = ", ".join(DETECTORS)
        raise ValueError(f"detectors.{name}: no detector is called {which!r}: choose {allowed} or a pytorch-ood class")
    return settings_of(DETECTORS[which], settings, f"detectors.{name}")
