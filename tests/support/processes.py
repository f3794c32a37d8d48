"""What a run in a workspace is doing: its processes, what its jobs have saved, and waiting for that."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil
from safetensors import safe_open

from support.workspace import Workspace

Found = TypeVar("Found")
HANGS = 600  # seconds after which whatever is waited for hangs, also on a busy machine


def wait_for(condition: Callable[[], Found], what: str) -> Found:
    """Return what the condition gives as soon as it is true; the time limit only ends what hangs."""
    deadline = time.monotonic() + HANGS
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"no {what} within {HANGS} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def run_server(command: list[str | Path], address: str, folder: Path, **environment: str) -> Iterator[None]:
    """A server that runs in `folder` and answers at its address; it and all that it started end with the block."""

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        with suppress(OSError), urllib.request.urlopen(address, timeout=1):
            return True
        return False

    log = folder / "server.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(answers, f"answer at {address}")
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def processes_of(workspace: Workspace) -> Iterator[psutil.Process]:
    """The processes that run this workspace's code, Ray's included, shells aside."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            path = process.environ().get("PYTHONPATH", "").split(os.pathsep)
            ours = path[0] == str(workspace.folder)
            if ours and process.name() not in ("bash", "sh") and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def find_processes(workspace: Workspace, words: str) -> list[psutil.Process]:
    """The workspace's processes with these words in their command line."""
    found = []
    for process in processes_of(workspace):
        with suppress(psutil.Error):
            found += [process] * (words in " ".join(process.cmdline()))
    return found


AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent", "dashboard/agent.py", "runtime_env/agent/main.py")


def is_agent(process: psutil.Process) -> bool:
    """Whether it is an agent of Ray's: one whose raylet died may try for minutes to report that to a dead Ray."""
    with suppress(psutil.Error):
        return any(words in " ".join(process.cmdline()) for words in AGENTS)
    return False


def ray_processes(workspace: Workspace) -> list[psutil.Process]:
    """The processes of the Ray clusters that this workspace's jobs have started, agents aside."""
    found = find_processes(workspace, "/ray/") + find_processes(workspace, "ray::")
    return [process for process in found if not is_agent(process)]


def count_saved_rows(folder: Path) -> int:
    """Rows of the history in the last checkpoint below the folder: a job that goes on does not make them again."""
    for path in folder.glob("results/tiny/checkpoints/*/state.safetensors"):
        with suppress(FileNotFoundError), safe_open(path, framework="pt") as file:
            return len(json.loads(file.metadata()["progress"])[1])
    return 0
