"""fig run: the study of a configuration, from wherever the package is installed."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

from cyclopts import Parameter

from fig.commands.options import ConfigFile


def workflow_root() -> Path:
    """The folder of the Snakefile: that of the package where it is installed, else the repository's."""
    package = Path(__file__).parents[1]
    return next(folder for folder in (package, package.parent) if (folder / "Snakefile").exists())


def run(
    config: ConfigFile,
    /,
    *options: Annotated[str, Parameter(allow_leading_hyphen=True, help="Options and targets for Snakemake.")],
) -> NoReturn:
    """Run a study: Snakemake on its Snakefile, in the working directory.

    Results go to results/<run>/, prepared data to data/. What is up to date does not run again. Snakemake gets
    everything after the configuration: --cores 4, --dry-run, --profile slurm, table1. Its exit status is fig run's.

    Example:
        fig run mine.yaml --cores 4

    """
    from fig.study import read_yaml

    read_yaml(config)  # before Snakemake does, which would wait for an endless file and run the code in a template
    root = workflow_root()
    profile = [] if "--profile" in options else ["--profile", str(root / "profiles" / "local")]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile"), *profile]
    os.execv(sys.executable, [*command, *options, "--configfile", str(config)])  # so a signal has one process to reach
