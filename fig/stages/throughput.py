"""Rule throughput: how many low-entropy samples a second the sampler draws from a standard discriminator."""

from pathlib import Path

from fig.runtime.job import Input, Job, Output, Runtime, Setting, run_stage
from fig.runtime.record import SUFFIX, Times
from fig.settings import Resources, SamplerSettings, ThroughputSettings, settings


@settings(kw_only=True)
class Throughput(Job):
    """Time the sampler on a discriminator.

    Example: python -m fig.stages.throughput --discriminator results/demo/discriminators/digits/resnet18/standard/0
    --output results/demo/throughput/digits/resnet18.json
    """

    discriminator: Input[Path]
    """Folder of the discriminator."""
    settings: Setting[ThroughputSettings] = ThroughputSettings()
    """How much is drawn while the clock runs."""
    sampler: Setting[SamplerSettings] = SamplerSettings()
    """How the samples are drawn."""
    output: Output[Path]
    """JSON file to be written."""
    resources: Runtime[Resources] = Resources()
    """Workers, and what each of them gets."""

    def record_path(self) -> Path:
        """Beside the measurement."""
        return self.output.with_suffix(SUFFIX)

    def run(self, times: Times) -> None:
        """Write what was measured."""
        from fig.runtime.cluster import run_on_workers
        from fig.stages.support.clocked import time_sampler

        run_on_workers(time_sampler, self.absolute(), self.resources, times)


if __name__ == "__main__":
    run_stage(__spec__.name)
