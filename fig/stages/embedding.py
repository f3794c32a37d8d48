"""Rule embedding: where a discriminator puts test images and its low-entropy samples, laid out in the plane."""

from pathlib import Path
from typing import ClassVar

from fig.runtime.job import Input, Setting, run_stage
from fig.settings import EmbeddingSettings, settings
from fig.stages.support.looking import Looking


@settings(kw_only=True)
class Embedding(Looking):
    """Lay out the penultimate features of test images and low-entropy samples of a discriminator in the plane.

    Example: python -m fig.stages.embedding --discriminator results/demo/discriminators/digits/resnet18/fig/0
    --test data/32/digits/test.npy
    """

    work: ClassVar[str] = "fig.stages.support.planes:lay_out"
    record_name: ClassVar[str] = "embedding.record.json"

    test: Input[Path]
    """Prepared test split of the ID data set."""
    settings: Setting[EmbeddingSettings] = EmbeddingSettings()
    """How many points there are."""


if __name__ == "__main__":
    run_stage(__spec__.name)
