"""Rule prepare: write a split of a data set as one uint8 array, next to a small JSON file."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from fig.data.catalogue import Recipe
from fig.runtime.job import Input, Job, Output, Runtime, Setting, run_stage
from fig.runtime.record import SUFFIX, Times
from fig.settings import settings


@settings(kw_only=True)
class Prepare(Job):
    """Prepare one split of a data set.

    Example: python -m fig.stages.prepare --output data/32/pets/train.npy --files pets.zip
    --recipe.reader classes --recipe.split train --recipe.size 32 --recipe.way centre --recipe.short 32
    """

    files: Input[tuple[Path, ...]] = ()
    """A publisher's file or your own; repeatable."""
    train: Input[Path | None] = None
    """The training split, for an ID test split."""
    recipe: Setting[Recipe]
    """How the images are made."""
    seed: Setting[Annotated[int, Field(ge=0)]] = 0
    """Seed of random crops and of images drawn for testing."""
    output: Output[Path]
    """Where the array goes: .../<size>/<data set>/<split>.npy."""
    workers: Runtime[Annotated[int, Field(ge=1)]] = 1
    """Processes that decode images."""

    def record_path(self) -> Path:
        """Return the path of the record, next to the array."""
        return self.output.with_suffix(SUFFIX)

    def run(self, times: Times) -> None:
        """Write the array and its description."""
        from fig.data.arrays import description_of
        from fig.data.prepare import prepare

        train = description_of(self.train) if self.train else None
        prepare(self.output, list(self.files), self.recipe, self.seed, train, self.workers)


if __name__ == "__main__":
    run_stage(__spec__.name)
