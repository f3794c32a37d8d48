"""The options that stages share, as they stand on their command lines."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Train = Annotated[Path, typer.Option(exists=True, resolve_path=True, help="Prepared training split (.npy).")]
Output = Annotated[Path, typer.Option(resolve_path=True, help="The discriminator's folder, to be written.")]
Checkpoints = Annotated[Path, typer.Option(resolve_path=True, help="Folder for the checkpoints of unfinished jobs.")]
Folder = Annotated[
    Path, typer.Option(exists=True, file_okay=False, resolve_path=True, help="A discriminator's folder.")
]
Folders = Annotated[
    list[Path],
    typer.Option("--discriminator", exists=True, file_okay=False, help="A discriminator's folder; repeatable."),
]
Test = Annotated[Path, typer.Option(exists=True, resolve_path=True, help="Prepared test split of the ID data set.")]
OodSets = Annotated[list[Path], typer.Option(exists=True, resolve_path=True, help="A prepared OOD set; repeatable.")]
Variant = Annotated[str, typer.Option(help="Name of the variant, for the record.")]
Network = Annotated[str, typer.Option(help="Name of the network.")]
Size = Annotated[int, typer.Option(min=1, help="Pixels a side of the images as the network sees them.")]
Scaling = Annotated[str, typer.Option(help="symmetric (to [-1, 1]) or standardised (by the training pixels).")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of weights, batches, crops and chains.")]
Json = Annotated[str, typer.Option(help="A JSON object; see the keys of the same name in config/README.md.")]


def parsed(text: str, option: str) -> dict[str, Any]:
    """The JSON object in an option's text; raises ValueError naming the option where it is none."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{option} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{option} must be a JSON object, not {text}")
    return value
