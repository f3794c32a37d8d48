"""Other processes: commands run to their end, and servers that are started and ended."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
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


def wait_for(ready: Callable[[], bool], server: subprocess.Popen, log: Path) -> None:
    """Wait until a server is ready; raises RuntimeError with its log where it ends before, or in five minutes."""
    deadline = time.monotonic() + 300
    while not ready():
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{server.args[0]} did not start: {log.read_text()[-2000:]}")
        time.sleep(0.2)
