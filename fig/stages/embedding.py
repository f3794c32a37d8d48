"""Rule embedding: where a discriminator puts test images and its low-entropy samples, laid out in the plane."""

from pathlib import Path

from fig.runtime.job import Input, Job, Runtime, Setting, run_stage
from fig.runtime.record import Times
from fig.settings import EmbeddingSettings, Resources, SamplerSettings, settings


@settings(kw_only=True)
class Embedding(Job):
    """Lay out the penultimate features of test images and low-entropy samples of a discriminator in the plane.

    Example: python -m fig.stages.embedding --discriminator results/demo/discriminators/digits/resnet18/fig/0
    --test data/32/digits/test.npy
    """

    discriminator: Input[Path]
    """Folder of the discriminator; the result goes there too."""
    test: Input[Path]
    """Prepared test split of the ID data set."""
    settings: Setting[EmbeddingSettings] = EmbeddingSettings()
    """How many points there are."""
    sampler: Setting[SamplerSettings] = SamplerSettings()
    """How the samples are drawn."""
    resources: Runtime[Resources] = Resources()
    """Workers, and what each of them gets."""

    def record_path(self) -> Path:
        """Beside the result."""
        return self.discriminator / "embedding.record.json"

    def run(self, times: Times) -> None:
        """Write embedding.npz."""
        from fig.runtime.cluster import run_on_workers
        from fig.stages.support.planes import lay_out

        run_on_workers(lay_out, self.absolute(), self.resources, times)


if __name__ == "__main__":
    run_stage(__spec__.name)
