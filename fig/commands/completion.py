"""fig completion: make the shell complete commands and options."""

from typing import Annotated, Literal

from cyclopts import Parameter


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell that reads the script.")], /
) -> None:
    """Print a script that makes a shell complete commands, options and files.

    For zsh, write it to a file _fig in a folder of $fpath; for fish, to ~/.config/fish/completions/fig.fish.

    Example:
        eval "$(fig completion bash)"  # also for new shells if it is in ~/.bashrc

    """
    from fig.__main__ import build_app

    print(build_app().generate_completion(prog_name="fig", shell=shell))
