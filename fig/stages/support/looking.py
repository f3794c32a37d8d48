"""What the jobs have in common that look at a trained discriminator on workers; torch is imported when they run."""

from pathlib import Path
from typing import ClassVar

from fig.runtime.job import Input, Job, Runtime, Setting
from fig.runtime.record import Times
from fig.settings import Resources, SamplerSettings, settings


@settings(kw_only=True)
class Looking(Job):
    """What is looked at, and how its low-entropy samples are drawn."""

    record_name: ClassVar[str] = ""  # in the discriminator's folder

    discriminator: Input[Path]
    """Folder of the discriminator; the result goes there too, unless it has a place of its own."""
    sampler: Setting[SamplerSettings] = SamplerSettings()
    """How the samples are drawn."""
    resources: Runtime[Resources] = Resources()
    """Workers, and what each of them gets."""

    def record_path(self) -> Path:
        """Return the path of the record, next to the result."""
        return self.discriminator / self.record_name

    def run(self, times: Times) -> None:
        """Do the work on Ray's workers."""
        from fig.runtime.cluster import run_on_workers

        run_on_workers(self.load_work(), self.absolute(), self.resources, times)
