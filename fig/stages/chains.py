"""Rule chains: where chains end that no rule stops, and what class a discriminator takes it for."""

from pathlib import Path

from fig.runtime.job import Input, Job, Runtime, Setting, run_stage
from fig.runtime.record import Times
from fig.settings import ChainsSettings, Resources, SamplerSettings, settings


@settings(kw_only=True)
class Chains(Job):
    """Run chains of a discriminator for a fixed number of steps, and keep some that end in a wanted class.

    Example: python -m fig.stages.chains --discriminator results/demo/discriminators/digits/resnet18/fig/0
    --test data/32/digits/test.npy --settings '{"steps": 1000}'
    """

    discriminator: Input[Path]
    """Folder of the discriminator; the result goes there too."""
    test: Input[Path]
    """Prepared test split of the ID data set, for the names of its classes."""
    settings: Setting[ChainsSettings] = ChainsSettings()
    """Which chains are run, and which of them are kept."""
    sampler: Setting[SamplerSettings] = SamplerSettings()
    """How the chains move."""
    resources: Runtime[Resources] = Resources()
    """Workers, and what each of them gets."""

    def record_path(self) -> Path:
        """Beside the result."""
        return self.discriminator / "chains.record.json"

    def run(self, times: Times) -> None:
        """Write chains.npz."""
        from fig.runtime.cluster import run_on_workers
        from fig.stages.support.long_chains import run_chains

        run_on_workers(run_chains, self.absolute(), self.resources, times)


if __name__ == "__main__":
    run_stage(__spec__.name)
