"""Rule prepare: a split of a data set as one uint8 array with a small JSON beside it."""

from pathlib import Path
from typing import Annotated

import typer

from fig.data.catalogue import Recipe
from fig.data.prepare import prepare as prepare_split
from fig.runtime import timing
from fig.runtime.command import command_line
from fig.settings import settings_of
from fig.stages.options import Json, Seed, parsed


def prepare(
    output: Annotated[Path, typer.Option(help="Where the array goes: .../<size>/<dataset>/<split>.npy.")],
    recipe: Json,
    file: Annotated[list[Path] | None, typer.Option(help="A publisher's file or one's own; repeatable.")] = None,
    train: Annotated[Path | None, typer.Option(exists=True, help="The training split, for an ID test split.")] = None,
    seed: Seed = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that decode images.")] = 1,
) -> None:
    """Prepare one split of a data set.

    Example: python -m fig.stages.prepare --output data/32/pets/train.npy --file pets.zip
    --recipe '{"reader": "classes", "split": "train", "size": 32, "way": "centre", "short": 32}'
    """
    clock = timing.begin("prepare")
    prepare_split(output, file or [], settings_of(Recipe, parsed(recipe, "--recipe"), "recipe"), seed, train, workers)
    timing.write(clock, output.with_suffix(".timing.json"))


if __name__ == "__main__":
    command_line(__spec__.name)
