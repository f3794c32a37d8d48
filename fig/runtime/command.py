"""The command lines of the stages: a stage's signature is its command line, an error is one sentence."""

import importlib
import logging
import sys
import warnings

import typer
from rich.console import Console
from rich.logging import RichHandler

ERRORS = (ArithmeticError, ValueError, OSError, RuntimeError)


def announce() -> None:
    """Log to standard error, quietly enough that what is said is read."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    handler = RichHandler(console=Console(stderr=True), show_path=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("fig").setLevel(logging.INFO)


def command_line(module: str) -> None:
    """Run the function that has its module's name, with its parameters from the command line.

    The module is imported anew under its own name, since what Ray sends to its workers must not live in `__main__`.
    """
    announce()
    function = getattr(importlib.import_module(module), module.rpartition(".")[2])
    application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    application.command()(function)
    run(application)


def run(application: typer.Typer) -> None:
    """Run an application; what it cannot do becomes one sentence and exit status 1."""
    try:
        application()
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error
