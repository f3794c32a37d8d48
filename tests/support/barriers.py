"""Barriers: a job is held at a named point until the test has done to it what it wants."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from support.processes import wait_for
from support.workspace import HOOKS, Workspace

BEFORE_CHECKPOINT = "before fig.checkpoint.save_checkpoint"
WRITING_CHECKPOINT = "after fig.checkpoint.write_state"  # the new file is not yet in the place of the old one
AFTER_CHECKPOINT = "after fig.checkpoint.save_checkpoint"
BETWEEN_SCORES = "after fig.evaluation.score_split"
AFTER_DRAWING = "after fig.sampling.save_drawing"


@dataclass
class Barrier:
    """A barrier for the jobs of the code in `code` that are started with its `environment`.

    Those jobs also save what they have whenever they can, so that no clock decides what was saved.
    """

    folder: Path
    code: Path
    serial: int = 0  # of the point where it is closed

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.open()

    @property
    def environment(self) -> dict[str, str]:
        """What a job's environment must have."""
        return {"PYTHONPATH": f"{self.code}{os.pathsep}{HOOKS}", "FIG_BARRIER": str(self.folder)}

    def write(self, text: str) -> None:
        """Write the point at once, as others read it all the time."""
        partial = self.folder / "partial"
        partial.write_text(text)
        partial.replace(self.folder / "point")

    def close(self, point: str) -> None:
        """Hold the next that comes to this point; whoever is held at another goes on."""
        self.serial += 1
        self.write(f"{self.serial} {point}")

    def open(self) -> None:
        """Hold nobody any more."""
        self.write("")

    def wait(self) -> psutil.Process:
        """Wait until a process is held, and return it."""

        def held() -> psutil.Process | None:
            for path in self.folder.glob(f"{self.serial}-*"):
                with suppress(psutil.Error):
                    process = psutil.Process(int(path.name.partition("-")[2]))
                    if process.status() != psutil.STATUS_ZOMBIE:
                        return process
            return None

        return wait_for(held, f"process at {(self.folder / 'point').read_text()!r}")


def barrier_in(workspace: Workspace) -> Barrier:
    """A barrier for the jobs of a workspace."""
    return Barrier(workspace.folder / "barrier", workspace.folder)
