"""Ray over all nodes of a Slurm job, for workers that do not fit on one; each node runs this module as a command."""

import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from threading import Event, Thread

PATIENCE = 300  # seconds for every node to answer
GRACE = 60  # seconds for Ray to end
STARTED = "Ray runtime started"  # what `ray start` prints then


def in_job() -> bool:
    """Whether this process runs in a job of Slurm."""
    return "SLURM_JOB_ID" in os.environ


@cache
def guard() -> dict[str, str]:
    """Environment of a Ray that answers this process alone."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def free_port() -> int:
    """A port of this node that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def answers(address: str) -> bool:
    """Whether someone listens at host:port."""
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


def wait_for_ray(address: str, lives: Callable[[], bool] = lambda: True) -> None:
    """Wait until Ray answers; raises OSError where it has not within PATIENCE, or no longer `lives`."""
    until = time.monotonic() + PATIENCE
    while not answers(address):
        if time.monotonic() > until or not lives():
            job = os.environ["SLURM_JOB_ID"]
            raise OSError(f"Ray does not start at {address} in Slurm's job {job}: the job's log has what srun said")
        time.sleep(0.2)


@contextmanager
def ray_over(nodes: int, host: str, share: Mapping[str, int]) -> Iterator[str]:
    """Ray on every node of this job, with a share of each as `ray start` names it; gives its address on this, `host`.

    It ends with the context, also where this process is killed. Raises OSError where Ray does not start.
    """
    if shutil.which("srun") is None:
        raise OSError("workers on several nodes need srun, which is not here: in a container, say `nodes: 1`")
    address = f"{host}:{free_port()}"
    cpus = share["num-cpus"]
    one_a_node = (f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", f"--cpus-per-task={cpus}")
    ray = (sys.executable, "-m", __name__, address, *(f"--{name}={amount}" for name, amount in share.items()))
    step = subprocess.Popen(["srun", *one_a_node, "--kill-on-bad-exit", *ray], stdin=subprocess.PIPE)
    try:
        wait_for_ray(address, lambda: step.poll() is None)
        yield address
    finally:
        if step.stdin is not None:
            step.stdin.close()
        try:
            step.wait(GRACE)
        except subprocess.TimeoutExpired:
            step.terminate()


def start_of(address: str, *share: str) -> list[str]:
    """The command that starts Ray on this node; the first one of the job is its head.

    Other jobs on this node may have their Rays: no port is a fixed one.
    """
    host, port = address.rsplit(":", 1)
    where = [f"--address={address}"]
    if os.environ["SLURM_PROCID"] == "0":
        where = ["--head", f"--node-ip-address={host}", f"--port={port}", "--include-dashboard=false", "--no-monitor"]
        if importlib.util.find_spec("grpc"):
            where += [f"--ray-client-server-port={free_port()}"]
    ports = ("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0")
    unused = ("--include-log-monitor=false",)  # a process less to start
    return [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *where, *ports, *unused, *share]


def main(address: str, *share: str) -> int:
    """Have Ray on this node until standard input ends, as it does when the job's driver ends or is killed.

    A Ray that ends before it has started is started again: on a busy node it takes longer than Ray itself waits.
    """
    command = start_of(address, *share)
    if "--head" not in command:
        wait_for_ray(address)
    own = os.environ | {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}  # nobody is there to take over its work
    running: list[subprocess.Popen[str]] = []
    over = Event()

    def end() -> None:
        sys.stdin.read()
        over.set()
        for ray in running:
            ray.terminate()

    Thread(target=end, daemon=True).start()
    until = time.monotonic() + PATIENCE
    while True:
        ray = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=own, text=True)
        running.append(ray)
        if over.is_set():
            ray.terminate()
        started = has_started(ray)
        if ray.wait() == 0 or over.is_set():
            return 0
        if started or time.monotonic() > until:
            return 1


def has_started(ray: subprocess.Popen[str]) -> bool:
    """Read to its end what `ray start` prints, which is the end of Ray; whether it had started by then."""
    lines = list(ray.stdout or ())
    return any(STARTED in line for line in lines)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
