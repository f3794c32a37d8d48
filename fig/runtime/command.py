"""Functions that all command lines share: quiet logging, and errors as one sentence."""

import atexit
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from rich.console import Console
from rich.logging import RichHandler

from fig.extras import missing_extra
from fig.files import explain_failure
from fig.runtime.ending import ending

ERRORS = (ArithmeticError, ValueError, OSError, RuntimeError)


def announce() -> None:
    """Log to standard error: FIG's messages, and only the warnings of libraries."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    handler = RichHandler(console=Console(stderr=True), show_path=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("fig").setLevel(logging.INFO)


def describe_error(error: Exception) -> str:
    """Describe an error in one sentence. Pydantic is not imported for it: only code that did so raises its errors."""
    if (pydantic := sys.modules.get("pydantic")) and isinstance(error, pydantic.ValidationError):
        from fig.settings import explain

        return explain(error, "")
    return explain_failure(error) or str(error)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn an error in the block into one sentence and exit status 1, and an interrupt into 128 + the signal.

    If a pipe closed standard output, as `| head` does, the process exits with 1 and no sentence, as Rich does it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if not (sentence := missing_extra(error.name)):
            raise
        print(f"error: {sentence}", file=sys.stderr)
        raise SystemExit(1) from error
    except KeyboardInterrupt as error:
        print(f"error: {ending.reason or 'interrupted'}; run the same command again to resume", file=sys.stderr)
        raise SystemExit(ending.status or 128 + signal.SIGINT) from error
    except BrokenPipeError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it flushes it
        raise SystemExit(1) from error
    except ERRORS as error:
        print(f"error: {describe_error(error)}", file=sys.stderr)
        raise SystemExit(1) from error


def leave() -> NoReturn:
    """End this process with status 0, once its threads have ended and its exit handlers are done.

    This skips Python's own clean-up of the imported modules, which takes a second of a core after torch and MLflow.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # as Python itself does first
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)
