"""How a process is told to end: by SIGTERM as by Ctrl-C, and by the end of the Snakemake that started it.

A job saves a checkpoint first. Snakemake tells its jobs, also where a signal reached Snakemake alone.
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

SNAKEMAKE = "FIG_SNAKEMAKE"  # in a job's environment: the process that it ends with
GRACE = 20.0  # seconds for a checkpoint, and again for the rest: Slurm kills 30 s after it told
TOLD = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Told:
    """What this process was told, and what it does first."""

    reason: str = ""  # why it ends; empty while it goes on
    status: int = 0  # that it ends with
    request: Path | None = None  # a file that asks the workers for a checkpoint, gone once it is saved
    due: bool = False  # whether the next signal interrupts at once


told = Told()


def interrupt() -> None:
    """End this process: once the workers have saved, by KeyboardInterrupt, and if that is lost, at once."""
    if request := told.request:
        with suppress(OSError):
            request.touch()
        until = time.monotonic() + GRACE
        while request.exists() and time.monotonic() < until:
            time.sleep(0.02)
    told.due = True
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(told.status)


def listen(act: Callable[[], None] = interrupt) -> None:
    """Have the first SIGINT or SIGTERM start a thread that acts; Ctrl-C again interrupts at once.

    More of SIGTERM change nothing: Slurm, Snakemake and the death of Snakemake may each say the same. A signal that is
    ignored, as SIGINT in a shell's background, stays ignored.
    """

    def hear(number: int, frame: FrameType | None) -> None:
        if told.due or (told.reason and number == signal.SIGINT):
            told.due = False
            raise KeyboardInterrupt(told.reason)
        if not told.reason:
            told.reason, told.status = f"ended by {signal.Signals(number).name}", 128 + number
            _thread.start_new_thread(act, ())  # takes no lock that the interrupted thread may hold

    for each in TOLD:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, hear)


def name_snakemake() -> None:
    """Have the jobs of this Snakemake end with it."""
    os.environ[SNAKEMAKE] = f"{os.getpid()} {here()}"


def here() -> int:
    """What tells the process numbers of this machine or container from those of others."""
    return Path("/proc/self/ns/pid").stat().st_ino


def follow_snakemake() -> None:
    """End this process too, within a second or two, when the Snakemake that started it has died, even by SIGKILL."""
    import psutil

    number, _, place = os.environ.get(SNAKEMAKE, "").partition(" ")
    if place != str(here()):
        return

    def follow() -> None:
        with suppress(psutil.NoSuchProcess):
            snakemake = psutil.Process(int(number))
            while snakemake.is_running() and snakemake.status() != psutil.STATUS_ZOMBIE:
                time.sleep(1)
        if not told.reason:
            told.reason, told.status = "ended, for Snakemake has died", 128 + signal.SIGTERM
            interrupt()

    _thread.start_new_thread(follow, ())


@contextmanager
def saving_first(request: Path) -> Iterator[None]:
    """In the block, who is told to end makes the file `request`, and ends when a worker has saved and removed it."""
    told.request = request
    try:
        yield
    finally:
        told.request = None
        request.unlink(missing_ok=True)


@contextmanager
def own_handlers() -> Iterator[None]:
    """Put the handlers of signals back after the block, in which Ray sets its own."""
    before = {each: signal.getsignal(each) for each in TOLD}
    try:
        yield
    finally:
        with suppress(ValueError):  # elsewhere than in the main thread neither can Ray
            for each, handler in before.items():
                signal.signal(each, handler)


def tell_jobs() -> None:
    """Interrupt this Snakemake, and tell each of its jobs to end, those too that are about to start."""
    import psutil

    told.due = True
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
    """Whether a command line is a job's own, not that of the shell around it."""
    return "-m" in command and any(word.startswith("fig.stages.") for word in command)


def lead_jobs() -> None:
    """Have this Snakemake tell its jobs when it is told to end."""
    listen(tell_jobs)
