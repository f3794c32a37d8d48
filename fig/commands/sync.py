"""fig sync: catch MLflow up with the results on disk."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Path as Exists

from fig.commands.answers import Answer


def sync(
    results: Annotated[
        Path, Parameter(validator=Exists(exists=True, file_okay=False), help="The folder that holds the runs.")
    ] = Path("results"),
    /,
) -> Answer:
    """Send MLflow the results on disk that it lacks.

    Uses the server that MLFLOW_TRACKING_URI names, else the file <results>/mlflow.db.

    Example:
        MLFLOW_TRACKING_URI=http://localhost:5000 fig sync results

    """
    from fig.runtime.tracking import sync as mirror_all

    count, missed = mirror_all(results)
    if missed:
        raise RuntimeError(f"{missed} of {count} discriminators could not be mirrored: the warnings say why")
    print(f"{count} discriminators are in MLflow.")
    return {"discriminators": count}
