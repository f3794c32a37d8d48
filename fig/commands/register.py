"""fig register: discriminators as MLflow models."""

from pathlib import Path
from typing import Annotated

import typer


def register(
    discriminators: Annotated[
        list[Path],
        typer.Argument(
            exists=True, file_okay=False, help="Folders results/<run>/discriminators/<data>/<network>/<variant>/<seed>."
        ),
    ],
) -> None:
    """Register evaluated discriminators as MLflow models, and print their addresses.

    A model takes images, uint8 (N, size, size, 3), and gives class probabilities, an OOD score and whether it accepts
    each image as in-distribution. What is registered already is found again. docs/mlflow.md serves one.

    Example: fig register results/demo/discriminators/digits/resnet18/fig/*
    """
    from fig.runtime.tracking import register as register_one

    for folder in discriminators:
        print(register_one(folder.resolve()), flush=True)
