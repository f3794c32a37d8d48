"""The options that commands share."""

from pathlib import Path
from typing import Annotated

import typer

Discriminator = Annotated[
    Path,
    typer.Argument(
        exists=True, file_okay=False, help="Its folder, results/<run>/discriminators/<data>/<network>/<variant>/<seed>."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the chains.")]
Batch = Annotated[int, typer.Option(min=1, help="Chains at once; fewer are taken where memory does not suffice.")]
Settings = Annotated[
    str, typer.Option(help="What differs from the paper's sampler, as JSON; see fig.sampler in config/README.md.")
]
