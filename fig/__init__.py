"""FIG: draw from a classifier the inputs on which it is confidently wrong, and fine-tune it on them.

    patched = fig.patch(model, train_loader, scaling=(mean, std)).model
    print(fig.probe(patched, (3, 32, 32), scaling=(mean, std)).confidence)
    judge = fig.detect(patched, train_loader, detector="energy", scaling=(mean, std))
    judge.accepts(images)

docs/patching.md explains them. What is imported is what is used: `import fig` alone is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fig.data.reading import read_images
    from fig.detecting import OodDetector, detect
    from fig.methods.table import FigSettings
    from fig.patching import Patched, patch, probe, sample
    from fig.sampler import Samples
    from fig.sampling import Probe
    from fig.scaling import Scaling
    from fig.settings import Augmentation, Finetuning, SamplerSettings

PLACES = {
    "Augmentation": "fig.settings",
    "FigSettings": "fig.methods.table",
    "Finetuning": "fig.settings",
    "OodDetector": "fig.detecting",
    "Patched": "fig.patching",
    "Probe": "fig.sampling",
    "SamplerSettings": "fig.settings",
    "Samples": "fig.sampler",
    "Scaling": "fig.scaling",
    "detect": "fig.detecting",
    "patch": "fig.patching",
    "probe": "fig.patching",
    "read_images": "fig.data.reading",
    "sample": "fig.patching",
}
__all__ = [
    "Augmentation",
    "FigSettings",
    "Finetuning",
    "OodDetector",
    "Patched",
    "Probe",
    "SamplerSettings",
    "Samples",
    "Scaling",
    "detect",
    "patch",
    "probe",
    "read_images",
    "sample",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is asked for."""
    if name not in PLACES:
        raise AttributeError(f"module 'fig' has no attribute {name!r}")
    return getattr(import_module(PLACES[name]), name)


def __dir__() -> list[str]:
    """The public names, and what a module has."""
    return sorted({*globals(), *__all__})
