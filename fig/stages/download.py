"""Rule download: a file as its publisher offers it, checked against its hash."""

from pathlib import Path
from typing import Annotated

import typer

from fig.data.catalogue import File
from fig.data.download import HASHES
from fig.data.download import download as fetch
from fig.runtime.command import command_line
from fig.settings import settings_of
from fig.stages.options import Json, parsed


def download(
    output: Annotated[Path, typer.Option(help="Where the file goes: .../<source>/<name>.")],
    file: Json,
    mirror: Annotated[str, typer.Option(help="A base URL or a folder with <source>/<name> in it.")] = "",
    accept_unknown_hashes: Annotated[bool, typer.Option(help="Accept a file of unknown hash, and record it.")] = False,
    hashes: Annotated[Path, typer.Option(help="Where the hashes are recorded that publishers do not state.")] = HASHES,
) -> None:
    """Fetch a publisher's file; an interrupted transfer goes on where it stopped.

    Example: python -m fig.stages.download --output data/downloads/svhn/test_32x32.mat
    --file '{"url": "http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
    "hash": "md5:eb5a983be6a315427106f1b164d9cef3"}'
    """
    fetch(output, settings_of(File, parsed(file, "--file"), "file"), mirror, accept_unknown_hashes, hashes)


if __name__ == "__main__":
    command_line(__spec__.name)
