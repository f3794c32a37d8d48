"""Rule figures: fine-tuning's curves, and scores and generated samples before and after FIG, as pictures."""

from pathlib import Path
from typing import Annotated

import typer

from fig.report import records
from fig.report.figures import finetuning, samples, scores
from fig.report.names import COMMON, PATCHED, STANDARD
from fig.runtime import timing
from fig.runtime.command import command_line
from fig.stages.options import Folders
from fig.stages.writing import write_figure


def figures(
    discriminator: Folders,
    output: Annotated[Path, typer.Option(help="Folder for the pictures, results/<run>/figures.")],
) -> None:
    """Draw the figures of a run; what they leave out is on the discriminators' own pages.

    Example: python -m fig.stages.figures --discriminator results/demo/discriminators/digits/resnet18/fig/0
    --output results/demo/figures
    """
    clock = timing.begin("figures")
    before_and_after = [folder for folder in discriminator if records.key_of(folder)[2] in (STANDARD, PATCHED)]
    common = {at: sets for at, sets in records.scores(before_and_after).items() if at[1] == COMMON}
    write_figure(output / "finetuning.png", finetuning(records.histories(discriminator)))
    write_figure(output / "scores.png", scores(common))
    write_figure(output / "samples.png", samples(records.samples(before_and_after)))
    timing.write(clock, output / "timing.json")


if __name__ == "__main__":
    command_line(__spec__.name)
