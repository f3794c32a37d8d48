"""Detectors of the library pytorch-ood, by the name of their class."""

import inspect
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fig.detectors.protocol import HeldOut, Kept, Scorer, Seen, Subject
from fig.detectors.table import LibrarySettings
from fig.frozen import frozen
from fig.networks.heads import last_linear, weights_of
from fig.networks.taps import Tap, tap_modules
from fig.settings import settings

LibraryObject = Any  # a detector of pytorch-ood, whose methods depend on its kind

PENULTIMATE = "penultimate"
KINDS = ("logits", "features", "feature_maps")  # what pytorch-ood's detectors score; the rest need whole images


@settings(kw_only=True)
class LibraryDetector(LibrarySettings):
    """A detector class, `pytorch_ood.detector.ViM` for example, with its `arguments`; its sign is turned.

    It gets logits, or the input of the last linear layer as features or as maps of one place. If its constructor asks
    for parts of the network, `w` and `b` are the last linear layer's weights, and `head` is the layer itself.
    """

    name: str
    """The class, with its module."""

    def __post_init__(self) -> None:
        kind_of(self.name)

    def taps(self, subject: Subject) -> dict[str, Tap]:
        """Return the tap before the last linear layer, if needed; raises ValueError if it cannot be made."""
        build_object(self, subject)
        on_logits = kind_of(self.name) == "logits"
        return {} if on_logits else {PENULTIMATE: penultimate(subject.network, subject.example)}

    def observer(self, subject: Subject) -> "LibraryObserver | None":
        """Collect features and logits of the training images, for a detector that is fitted."""
        return LibraryObserver(self)


def flat(features: Tensor) -> Tensor:
    """Return features (B, ...) as (B, D)."""
    return features.flatten(1)


def penultimate(network: nn.Module, images: Tensor) -> Tap:
    """Return the input of the last linear layer in a forward pass of `images` (B, channels, h, w)."""
    return Tap(last_linear(network, images)[0], keep=flat, given=True)


def import_detector(name: str) -> type:
    """Import the class of this name; raises ValueError for an unknown name."""
    try:
        found: type = resolve_name(name)
        return found
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"detector {name!r} cannot be imported ({error}): pytorch_ood.detector.ViM is one") from error


def kind_of(name: str) -> str:
    """Return what the detector of this name scores, one of KINDS; raises ValueError for anything else."""
    cls = import_detector(name)
    found = [kind for kind in KINDS if callable(getattr(cls, f"predict_{kind}", None))]
    if not found:
        raise ValueError(f"detector {name!r} scores neither logits nor features of a layer: it cannot be used here")
    return found[0]


def build_object(detector: LibraryDetector, subject: Subject) -> LibraryObject:
    """Build the detector for this discriminator; raises ValueError if it cannot be made or needs what is missing."""
    cls = import_detector(detector.name)
    known: dict[str, object] = {"num_classes": subject.classes, "n_classes": subject.classes}
    known |= dict.fromkeys(("model", "encoder", "backbone"))
    wanted = set(inspect.signature(cls).parameters)
    if wanted & {"head", "w", "b"}:
        linear = head_of(detector, subject)
        weights, biases = weights_of(linear)
        on_maps = kind_of(detector.name) == "feature_maps"
        known |= {"head": nn.Sequential(nn.Flatten(), linear) if on_maps else linear}
        known |= {"w": weights.detach(), "b": biases.detach()}
    try:
        return cls(**{name: value for name, value in known.items() if name in wanted} | dict(detector.arguments))
    except (TypeError, ValueError, AssertionError) as error:
        raise ValueError(f"{detector.name} cannot be made with {dict(detector.arguments)}: {error}") from error


def head_of(detector: LibraryDetector, subject: Subject) -> nn.Linear:
    """Find the linear layer that gives the logits; raises ValueError if no layer does."""
    name, linear = last_linear(subject.network, subject.example)
    with frozen(subject.network), tap_modules(subject.network, {"": Tap(name)}) as kept, torch.no_grad():
        logits = subject.network(subject.example)
    if kept[""].shape != logits.shape or not kept[""].allclose(logits, equal_nan=True):
        raise ValueError(
            f"{detector.name} needs a last linear layer that gives the logits: this network has another head"
        )
    return linear


def select_input(seen: Seen, kind: str) -> Tensor:
    """Return the input of a detector of this kind for a batch."""
    if kind == "logits":
        return seen.logits
    features = seen.kept[PENULTIMATE]
    return features[..., None, None] if kind == "feature_maps" else features


@dataclass
class LibraryObserver:
    """Collects what the detector is fitted to."""

    detector: LibraryDetector
    kept: Kept = field(default_factory=Kept)

    def see(self, seen: Seen, labels: Tensor) -> None:
        """Keep a batch."""
        kind = kind_of(self.detector.name)
        self.kept.see(seen, labels, {kind: select_input(seen, kind)})

    def merge(self, other: "LibraryObserver") -> None:
        """Append another worker's batches."""
        self.kept.merge(other.kept)

    def scorer(self, subject: Subject, held_out: HeldOut) -> Scorer:
        """Return the library's detector, fitted if it can be."""
        made, kind = build_object(self.detector, subject), kind_of(self.detector.name)
        fit = getattr(made, f"fit_{kind}", None)
        if fit:
            labels, values = self.kept.in_order(subject.unit.device)
            if hasattr(made, "to"):
                made.to(subject.unit.device)
            with torch.no_grad():
                fit(values[kind], labels)
        return LibraryScorer(made, kind)


@dataclass(frozen=True)
class LibraryScorer:
    """Scores of the library's detector, turned so that higher means more in-distribution."""

    detector: LibraryObject
    kind: str
    settings: ClassVar[tuple[str, ...]] = ("",)
    chosen: ClassVar[int] = 0

    def scores(self, seen: Seen) -> Tensor:
        """Scores (B, 1)."""
        with torch.no_grad():
            outlier: Tensor = getattr(self.detector, f"predict_{self.kind}")(select_input(seen, self.kind))
        return -outlier.double().reshape(-1, 1)
