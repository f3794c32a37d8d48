"""The `fig` command."""

import typer

from fig.commands.finetune import finetune
from fig.commands.plan import plan
from fig.commands.probe import probe
from fig.commands.recover import recover
from fig.commands.register import register
from fig.commands.report import report
from fig.commands.sample import sample
from fig.commands.sync import sync
from fig.runtime.command import announce, run

application = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
for command in (finetune, plan, probe, recover, register, report, sample, sync):
    application.command()(command)


@application.callback()
def fig() -> None:
    """FIG: fine-tune a classifier on the inputs on which it is confidently wrong."""


def main() -> None:
    """Run the command line."""
    announce()
    run(application)


if __name__ == "__main__":
    main()
