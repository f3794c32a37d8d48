"""Rule figures: fine-tuning's curves, histograms of scores and generated samples, as pictures."""

from pathlib import Path
from typing import Annotated

import typer

from fig.report import records
from fig.report.figures import finetuning, samples, scores
from fig.runtime import timing
from fig.runtime.command import command_line
from fig.stages.options import Folders
from fig.stages.writing import write_figure


def figures(
    discriminator: Folders,
    output: Annotated[Path, typer.Option(help="Folder for the pictures, results/<run>/figures.")],
) -> None:
    """Draw the figures of a run.

    Example: python -m fig.stages.figures --discriminator results/demo/discriminators/digits/resnet18/fig/0
    --output results/demo/figures
    """
    clock = timing.begin("figures")
    write_figure(output / "finetuning.png", finetuning(records.histories(discriminator)))
    write_figure(output / "scores.png", scores(records.scores(discriminator)))
    write_figure(output / "samples.png", samples(records.samples(discriminator)))
    timing.write(clock, output / "timing.json")


if __name__ == "__main__":
    command_line(__spec__.name)
