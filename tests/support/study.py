"""The study of tests/tiny.yaml in a workspace: some of its results, and Snakemake that makes them."""

import json
import shlex
import shutil
import signal
import subprocess
import sys
from functools import partial

from fig.stages.support.trainer import REQUEST
from support.barriers import Barrier
from support.workspace import Workspace

FIG = "results/tiny/discriminators/digits/resnet18/fig/0"
STANDARD = "results/tiny/discriminators/digits/resnet18/standard/0"
RESULTS = {
    "pretrain": f"{STANDARD}/model.safetensors",
    "finetune": f"{FIG}/model.safetensors",
    "evaluate": f"{FIG}/metrics.csv",
}


def start_snakemake(workspace: Workspace, barrier: Barrier, *options: str) -> subprocess.Popen[str]:
    """Snakemake, running in the workspace."""
    return start(
        ["snakemake", *options, "--profile", "local", "--configfile", "tests/tiny.yaml"],
        workspace,
        barrier,
        subprocess.DEVNULL,
    )


def start(
    command: list[str], workspace: Workspace, barrier: Barrier, output: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    """A command, running in the workspace; it hears Ctrl-C, which a shell's background jobs ignore."""
    return subprocess.Popen(
        command,
        cwd=workspace.folder,
        env=workspace.environment | barrier.environment,
        stdout=subprocess.DEVNULL,
        stderr=output,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def without(workspace: Workspace, *paths: str) -> Workspace:
    """The workspace with these outputs lost."""
    for path in paths:
        found = workspace.folder / path
        shutil.rmtree(found) if found.is_dir() else found.unlink()
    return workspace


def forget(workspace: Workspace, stage: str, workers: int) -> list[str]:
    """Lose what a job of the finished run made; its command, as its record has it."""
    folder = (workspace.folder / RESULTS[stage]).parent
    record = folder / ("evaluation.record.json" if stage == "evaluate" else "training.record.json")
    words = shlex.split(json.loads(record.read_text())["command"])
    without(workspace, RESULTS[stage], *([] if stage == "evaluate" else [f"{folder}/discriminator.json"]))
    if (option := "--resources.workers") in words:
        del words[words.index(option) : words.index(option) + 2]
    return [sys.executable, *words[1:], option, str(workers)]


def requested(workspace: Workspace) -> bool:
    """Whether a job waits for its checkpoint."""
    return any(workspace.folder.glob(f"results/tiny/checkpoints/*/{REQUEST}"))
