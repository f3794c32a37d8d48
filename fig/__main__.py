"""The `fig` command."""

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from inspect import cleandoc
from pathlib import Path

from cyclopts import App, CycloptsError, Group

from fig.commands.answers import add_json, answers_in_json
from fig.runtime.command import announce, exit_on_error
from fig.runtime.ending import listen

GROUPS = {
    "Patch a classifier": ("adopt", "patch", "detect", "export"),
    "Look into a classifier": ("probe", "sample"),
    "Run and follow a study": ("plan", "run", "report", "recover", "sync"),
    "Share": ("openood", "push", "register"),
    "Other": ("completion",),
}
EXIT_STATUS = {
    0: "done",
    1: "failed: standard error says why, in one sentence",
    2: "wrong command line: nothing ran",
    130: "stopped by Ctrl-C: the same command resumes",
    143: "stopped by SIGTERM: the same command resumes",
}
EPILOGUE = "\n".join(
    [
        "`fig COMMAND --help` shows examples. `fig run` exits as Snakemake does.",
        "Colours are for terminals, and NO_COLOR=1 turns them off.",
        "",
        "Exit status:",
        *(f"  {status:<4} {meaning}" for status, meaning in EXIT_STATUS.items()),
    ]
)


def installed_version() -> str:
    """The version of the package, as it was installed."""
    try:
        return version("fig-ood")
    except PackageNotFoundError:
        return "not installed"


def describe(command: object) -> tuple[str, str]:
    """Return the paragraphs of a command's docstring, a line each, and its section "Example" as it is written."""
    text, heading, example = cleandoc(command.__doc__ or "").partition("Example:\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")), heading + example


def build_app() -> App:
    """Build the application; what is slow to import is imported when a command is called."""
    app = App(
        name="fig",
        help="FIG: fine-tune a classifier on the inputs on which it is confidently wrong.",
        help_epilogue=EPILOGUE,
        help_format="plaintext",
        version=installed_version,
    )
    for title, names in GROUPS.items():
        group = Group.create_ordered(title)
        for place, name in enumerate(names):
            command = getattr(import_module(f"fig.commands.{name}"), name)
            text, example = describe(command)
            called = add_json(command) if answers_in_json(command) else command
            app.command(called, group=group, sort_key=place, help=text, help_epilogue=example)
    app["--help"].group = app["--version"].group = (group,)
    return app


def explain_usage(error: CycloptsError) -> str:
    """Say in one sentence what is wrong with a command line, and where to look."""
    helped = " ".join(["fig", *(error.command_chain or ()), "--help"])
    return f"{' '.join(str(error).split())} See `{helped}`."


def main() -> None:
    """Run the command line; a network's factory may lie in the working directory."""
    sys.path.insert(0, str(Path.cwd()))
    announce()
    listen()
    with exit_on_error():
        try:
            build_app()(sys.argv[1:], print_error=False, exit_on_error=False, result_action="return_value")
            sys.stdout.flush()
        except CycloptsError as error:
            print(f"error: {explain_usage(error)}", file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    main()
