"""How stages write texts, tables and figures: whole or not at all."""

from pathlib import Path

from fig.files import replacing
from fig.report.targets import Made, render_tables
from fig.study.targets import Target


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_made(run: Path, target: Target, made: Made) -> None:
    """Write what a target made below the run's folder: tables/<target>.* and figures/<target>.*."""
    for suffix, text in render_tables(made).items():
        write_text(run / "tables" / f"{target.name}.{suffix}", text)
    if made.figure is not None and made.figure_values is not None:
        write_text(run / "figures" / f"{target.name}.csv", made.figure_values.to_csv(index=False))
        with replacing(run / "figures" / f"{target.name}.png") as partial:
            made.figure.savefig(partial, format="png")
