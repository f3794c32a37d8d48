"""What commands answer: sentences and tables for people or, with --json, one JSON value for programs."""

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import wraps
from inspect import Parameter as Argument
from inspect import signature
from typing import Annotated, ParamSpec

from cyclopts import Parameter

P = ParamSpec("P")
Answer = dict[str, object]  # of numbers, texts, paths, and lists and mappings of them
AsJson = Annotated[
    bool,
    Parameter(
        "--json",
        help="Print JSON on standard output, and sentences on standard error.",
        negative=(),
        show_default=False,
    ),
]


def answers_in_json(command: Callable[P, Answer]) -> bool:
    """Whether a command answers with data, so that it has the option --json."""
    return bool(signature(command).return_annotation == Answer)


def add_json(command: Callable[P, Answer]) -> Callable[P, None]:
    """Return a command with the option --json: it prints what the command returns, and nothing else, as JSON.

    Without the option people read what the command itself prints, and its answer is dropped.
    """

    @wraps(command)
    def answer(*arguments: P.args, **options: P.kwargs) -> None:
        if not options.pop("as_json", False):
            command(*arguments, **options)
            return
        with redirect_stdout(sys.stderr):
            found = command(*arguments, **options)
        print(json.dumps(found, default=str, allow_nan=False))

    own = signature(command)
    option = Argument("as_json", Argument.KEYWORD_ONLY, default=False, annotation=AsJson)
    answer.__signature__ = own.replace(parameters=[*own.parameters.values(), option])  # type: ignore[attr-defined]
    answer.__annotations__ = {**command.__annotations__, "as_json": AsJson}
    return answer
