"""The options of the stages that make the paper's tables and figures: what is to be shown."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fig.report.studies import Shown, Study

Studies = Annotated[str, typer.Option(help="JSON list of the studies that are shown, as the configuration has them.")]
Seeds = Annotated[str, typer.Option(help="JSON list of the seeds.")]
Titles = Annotated[str, typer.Option(help="JSON object: what the paper calls data sets, by our names for them.")]
Run = Annotated[Path, typer.Option(exists=True, file_okay=False, help="The run's folder, results/<run>.")]


def shown_of(studies: str, seeds: str, titles: str) -> Shown:
    """What is to be shown, from the options' JSON; raises ValueError where it is none."""
    try:
        named = [Study(**{key: tuple(names) for key, names in study.items()}) for study in json.loads(studies)]
        return Shown(tuple(named), tuple(json.loads(seeds)), json.loads(titles))
    except (json.JSONDecodeError, TypeError, AttributeError) as error:
        raise ValueError(
            f"--studies, --seeds or --titles is not the JSON that config/README.md describes: {error}"
        ) from None
