"""fig report: tables, figures and page of what there is of a run, and what is missing."""

from pathlib import Path
from typing import Annotated

import typer


def missing(folder: Path, logs: Path) -> str:
    """Why a discriminator's folder holds no metrics: the last error in its logs, if there is one."""
    found = [line for path in sorted(logs.glob(f"*/{'/'.join(folder.parts[-4:])}.log")) for line in errors(path)]
    return found[-1] if found else "it was not made yet"


def errors(log: Path) -> list[str]:
    """The lines of a log in which a stage said what it could not do."""
    return [line.removeprefix("error: ") for line in log.read_text().splitlines() if line.startswith("error: ")]


def report(
    configfile: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="The run's configuration.")],
) -> None:
    """Make tables, figures and report.html of those discriminators of a run that are there, and name the others.

    The workflow makes them when everything is there; this is for a run some of whose jobs failed.

    Example: fig report config/paper.yaml
    """
    import yaml

    from fig.configuration import complete, discriminators, merged, splits
    from fig.stages.figures import figures
    from fig.stages.report import report as page
    from fig.stages.tables import tables

    study = complete(merged({}, *(yaml.safe_load(path.read_text()) for path in configfile)))
    run = Path("results") / study["run"]
    folders = [run / "discriminators" / each.path for each in discriminators(study)]
    there = [folder for folder in folders if (folder / "metrics.csv").exists()]
    if not there:
        raise ValueError(f"no discriminator of {run} is evaluated yet: there is nothing to report")
    gaps = [f"{'/'.join(f.parts[-4:])}: {missing(f, run / 'logs')}" for f in folders if f not in there]
    tables(there, run)
    figures(there, run / "figures")
    page(there, run, [path for split in splits(study) if (path := Path(f"{split}.json")).exists()], [], gaps)
    print(f"{run / 'report.html'} shows {len(there)} of {len(folders)} discriminators")
