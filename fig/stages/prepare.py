"""Rule prepare: a split of a data set as one uint8 array with a small JSON beside it."""

from pathlib import Path
from typing import Annotated

import typer

from fig.data.arrays import write_split
from fig.data.prepare import prepared
from fig.runtime import timing
from fig.runtime.command import command_line


def prepare(
    output: Annotated[Path, typer.Option(help="Where the array goes: .../<size>/<dataset>/<split>.npy.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of splits and crops.")] = 0,
    raw: Annotated[Path, typer.Option(help="Folder with the images that no Python package ships.")] = Path("data/raw"),
) -> None:
    """Prepare one split of a data set.

    Example: python -m fig.stages.prepare --output data/32/digits/train.npy
    """
    clock = timing.begin("prepare")
    size = int(output.parent.parent.name)
    split = prepared(output.parent.name, output.stem, size, seed, raw)
    write_split(output, split.images, split.labels, split.classes, split.made)
    timing.write(clock, output.with_suffix(".timing.json"))


if __name__ == "__main__":
    command_line(__spec__.name)
