"""Rule throughput: how many low-entropy samples a second the sampler draws from a standard discriminator."""

from pathlib import Path
from typing import ClassVar

from fig.runtime.job import Output, Setting, run_stage
from fig.runtime.record import SUFFIX
from fig.settings import ThroughputSettings, settings
from fig.stages.support.looking import Looking


@settings(kw_only=True)
class Throughput(Looking):
    """Time the sampler on a discriminator.

    Example: python -m fig.stages.throughput --discriminator results/demo/discriminators/digits/resnet18/standard/0
    --output results/demo/throughput/digits/resnet18.json
    """

    work: ClassVar[str] = "fig.stages.support.clocked:time_sampler"

    settings: Setting[ThroughputSettings] = ThroughputSettings()
    """How much is drawn while the clock runs."""
    output: Output[Path]
    """JSON file to be written."""

    def record_path(self) -> Path:
        """Return the path of the record, next to the measurement."""
        return self.output.with_suffix(SUFFIX)


if __name__ == "__main__":
    run_stage(__spec__.name)
