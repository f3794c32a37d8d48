"""The `fig` command."""

from pathlib import Path
from typing import Annotated

import typer

from fig.runtime.command import announce, run

application = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@application.callback()
def fig() -> None:
    """FIG: fine-tune a classifier on the inputs on which it is confidently wrong."""


@application.command()
def sync(
    results: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="The folder that holds the runs.")
    ] = Path("results"),
) -> None:
    """Bring MLflow up to date with the results on disk; what is there already stays as it is.

    Uses the server that MLFLOW_TRACKING_URI names, else the file <results>/mlflow.db.

    Example: MLFLOW_TRACKING_URI=http://localhost:5000 fig sync results
    """
    from fig.runtime.tracking import sync as mirror_all

    count, missed = mirror_all(results)
    if missed:
        raise RuntimeError(f"{missed} of {count} discriminators could not be mirrored: is the tracking server up?")
    print(f"{count} discriminators are in MLflow")


def main() -> None:
    """Run the command line."""
    announce()
    run(application)


if __name__ == "__main__":
    main()
