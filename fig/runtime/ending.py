"""End a process on SIGTERM, on Ctrl-C, and when the Snakemake that started it ends.

A job saves a checkpoint first. Snakemake ends its jobs, even if a signal reached only Snakemake.
"""

import _thread
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

SNAKEMAKE = "FIG_SNAKEMAKE"  # in a job's environment: the process whose end also ends the job
GRACE = 20.0  # seconds for a checkpoint, and again for the rest: Slurm kills a job 30 s after its signal
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Ending:
    """The signal that this process got, and its work before it ends."""

    reason: str = ""  # why it ends; empty while it runs
    status: int = 0  # its exit status
    request: Path | None = None  # a file that asks the workers for a checkpoint; they remove it after saving
    due: bool = False  # whether the next signal interrupts at once


ending = Ending()


def interrupt() -> None:
    """End this process by KeyboardInterrupt after the workers have saved. If the interrupt is lost, exit directly."""
    if request := ending.request:
        with suppress(OSError):
            request.touch()
        until = time.monotonic() + GRACE
        while request.exists() and time.monotonic() < until:
            time.sleep(0.02)
    ending.due = True
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(ending.status)


def listen(act: Callable[[], None] = interrupt) -> None:
    """Make the first SIGINT or SIGTERM start a thread that calls `act`. A second Ctrl-C interrupts at once.

    A second SIGTERM changes nothing, because Slurm, Snakemake and the death of Snakemake may each send one. If the
    process ignores a signal, as a shell's background job ignores SIGINT, it still does so.
    """

    def hear(number: int, frame: FrameType | None) -> None:
        if ending.due or (ending.reason and number == signal.SIGINT):
            ending.due = False
            raise KeyboardInterrupt(ending.reason)
        if not ending.reason:
            ending.reason, ending.status = f"ended by {signal.Signals(number).name}", 128 + number
            _thread.start_new_thread(act, ())  # takes no lock that the interrupted thread may hold

    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, hear)


def name_snakemake() -> None:
    """Make the jobs of this Snakemake end when it ends."""
    os.environ[SNAKEMAKE] = f"{os.getpid()} {here()}"


def here() -> int:
    """Return a number that identifies the process numbers of this machine or container."""
    return Path("/proc/self/ns/pid").stat().st_ino


def follow_snakemake() -> None:
    """End this process within a second or two of the death of the Snakemake that started it, even by SIGKILL."""
    import psutil

    number, _, place = os.environ.get(SNAKEMAKE, "").partition(" ")
    if place != str(here()):
        return

    def follow() -> None:
        with suppress(psutil.NoSuchProcess):
            snakemake = psutil.Process(int(number))
            while snakemake.is_running() and snakemake.status() != psutil.STATUS_ZOMBIE:
                time.sleep(1)
        if not ending.reason:
            ending.reason, ending.status = "ended because Snakemake died", 128 + signal.SIGTERM
            interrupt()

    _thread.start_new_thread(follow, ())


@contextmanager
def saving_first(request: Path) -> Iterator[None]:
    """In the block, a signal creates the file `request`. The process ends when a worker has saved and removed it."""
    ending.request = request
    try:
        yield
    finally:
        ending.request = None
        request.unlink(missing_ok=True)


@contextmanager
def own_handlers() -> Iterator[None]:
    """Restore the handlers of signals after the block, in which Ray sets its own."""
    before = {each: signal.getsignal(each) for each in SIGNALS}
    try:
        yield
    finally:
        with suppress(ValueError):  # outside the main thread, neither Ray nor this function can set handlers
            for each, handler in before.items():
                signal.signal(each, handler)


def tell_jobs() -> None:
    """Interrupt this Snakemake, and send SIGTERM to all of its jobs, including those that are about to start."""
    import psutil

    ending.due = True
    os.kill(os.getpid(), signal.SIGTERM)
    known = set()
    while True:
        with suppress(psutil.Error):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    if process not in known and is_job(process.cmdline()):
                        known.add(process)
                        process.terminate()
        time.sleep(0.1)


def is_job(command: list[str]) -> bool:
    """Return whether a command line is a job's own, not that of the shell around it."""
    return "-m" in command and any(word.startswith("fig.stages.") for word in command)


def lead_jobs() -> None:
    """Make this Snakemake end its jobs when it gets SIGINT or SIGTERM."""
    listen(tell_jobs)
