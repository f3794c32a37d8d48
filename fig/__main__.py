"""The `fig` command."""

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cyclopts import App, CycloptsError

from fig.runtime.command import announce, exit_on_error
from fig.runtime.ending import listen

COMMANDS = (
    "adopt",
    "detect",
    "export",
    "openood",
    "patch",
    "plan",
    "probe",
    "push",
    "recover",
    "register",
    "report",
    "run",
    "sample",
    "sync",
)


def installed_version() -> str:
    """The version of the package, as it was installed."""
    try:
        return version("fig-ood")
    except PackageNotFoundError:
        return "not installed"


def build_app() -> App:
    """The application; what is slow to import is imported when a command is called."""
    app = App(
        name="fig",
        help="FIG: fine-tune a classifier on the inputs on which it is confidently wrong.",
        help_format="plaintext",
        version=installed_version,
    )
    for name in COMMANDS:
        app.command(getattr(import_module(f"fig.commands.{name}"), name))
    return app


def main() -> None:
    """Run the command line; a network's factory may lie in the working directory."""
    sys.path.insert(0, str(Path.cwd()))
    announce()
    listen()
    with exit_on_error():
        try:
            status = build_app()(print_error=False, exit_on_error=False, result_action="return_value")
        except CycloptsError as error:
            raise ValueError(" ".join(str(error).split())) from None
    sys.exit(status or 0)


if __name__ == "__main__":
    main()
