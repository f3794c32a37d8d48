"""Other processes: commands run to their end, and servers that are started and ended; no device."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without anything that Ray or MLflow would read, and more."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))} | more


def run_python(arguments: Sequence[str], env: Mapping[str, str]) -> None:
    """Run Python to its end; raises RuntimeError with what it said where it failed."""
    ran = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed: {ran.stderr[-2000:]}")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@contextmanager
def running_server(
    command: Sequence[str | Path], log: Path, env: Mapping[str, str], ready: Callable[[], bool]
) -> Iterator[None]:
    """A server from when it is ready; it and what it started end with the block.

    Raises RuntimeError with its log where it ends before it is ready, or is not in five minutes.
    """
    with log.open("w") as file:
        server = subprocess.Popen(command, cwd=log.parent, env=env, stdout=file, stderr=file, start_new_session=True)
    deadline = time.monotonic() + 300
    try:
        while not ready():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
