"""Rule chains: where chains end that no rule stops, and what class a discriminator takes it for."""

from pathlib import Path
from typing import ClassVar

from fig.runtime.job import Input, Setting, run_stage
from fig.settings import ChainsSettings, settings
from fig.stages.support.looking import Looking


@settings(kw_only=True)
class Chains(Looking):
    """Run chains of a discriminator for a fixed number of steps, and keep some that end in a wanted class.

    Example: python -m fig.stages.chains --discriminator results/demo/discriminators/digits/resnet18/fig/0
    --test data/32/digits/test.npy --settings '{"steps": 1000}'
    """

    work: ClassVar[str] = "fig.stages.support.long_chains:run_chains"
    record_name: ClassVar[str] = "chains.record.json"

    test: Input[Path]
    """Prepared test split of the ID data set, for the names of its classes."""
    settings: Setting[ChainsSettings] = ChainsSettings()
    """Which chains are run, and which of them are kept."""


if __name__ == "__main__":
    run_stage(__spec__.name)
