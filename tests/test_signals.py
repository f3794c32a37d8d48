"""What becomes of a process that is asked to end, and what it leaves behind, done to real processes."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from fig.data.arrays import Split
from fig.runtime.ending import SNAKEMAKE, here, is_job
from fig.runtime.scratch import scratch_folder
from fig.settings import Augmentation, Pretraining, Resources
from fig.stages.pretrain import Pretrain
from fig.stages.support import trainer
from support.processes import wait_for
from support.workspace import ROOT

pytestmark = pytest.mark.slow

INT, TERM, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGKILL

JOB = """
import sys, time
from pathlib import Path
from fig.runtime import ending
from fig.runtime.command import exit_on_error
from fig.runtime.scratch import scratch_folder

place = Path(sys.argv[1])
ending.GRACE = 0.5

def work(saves, hears=True):
    with ending.saving_first(place / "request"):
        (place / "ready").touch()
        while True:
            try:
                time.sleep(0.01)
                if saves and (place / "request").exists():
                    time.sleep(0.2)  # more signals may come meanwhile
                    (place / "saved").touch()
                    (place / "request").unlink()
            except KeyboardInterrupt:
                if hears:
                    raise

with exit_on_error():
    ending.listen()
    ending.follow_snakemake()
    with scratch_folder(str(place)) as folder:
        (folder / "archive").write_text("unpacked")
        {what}
"""
WORKS = {
    "saves": "work(saves=True)",
    "cannot save": "work(saves=False)",
    "loses the interrupt": "work(saves=False, hears=False)",
    "would wait for an hour": "ending.GRACE = 3600; work(saves=False)",
    "has nothing to save": '(place / "ready").touch(); time.sleep(600)',
}


def start_job(what: str, place: Path, before: signal.Handlers = signal.SIG_DFL, **environment: str) -> subprocess.Popen:
    """A small job that does one of WORKS, held to its work; SIGINT is as a shell would leave it."""
    process = subprocess.Popen(
        [sys.executable, "-c", JOB.replace("{what}", WORKS[what]), place],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != SNAKEMAKE} | environment,
        preexec_fn=partial(signal.signal, INT, before),
    )
    wait_for((place / "ready").exists, "job that works")
    return process


@pytest.mark.parametrize(
    ("what", "signals", "status", "saved"),
    [
        ("saves", [INT], 130, True),
        ("saves", [TERM], 143, True),
        ("saves", [TERM, TERM, TERM], 143, True),  # by Slurm, by Snakemake, and because Snakemake died
        ("saves", [INT, TERM], 130, True),  # Ctrl-C in a terminal reaches the job and Snakemake
        ("cannot save", [INT], 130, False),
        ("cannot save", [TERM, TERM], 143, False),
        ("loses the interrupt", [TERM], 143, False),
        ("loses the interrupt", [INT], 130, False),
        ("has nothing to save", [INT], 130, False),
        ("has nothing to save", [TERM], 143, False),
    ],
)
def test_a_job_that_gets_a_signal_saves_first_and_names_the_signal(
    what: str, signals: list[signal.Signals], status: int, saved: bool, tmp_path: Path
):
    process = start_job(what, tmp_path)
    for each in signals:
        process.send_signal(each)
    printed = process.communicate()[1]
    assert process.returncode == status
    if what != "loses the interrupt":  # it can say nothing: it does not listen
        assert printed.startswith("error: ended by SIG") and printed.endswith(
            "; run the same command again to resume\n"
        )
        assert printed.count("\n") == 1 and "Traceback" not in printed
        assert not list(tmp_path.glob("*fig-job-*")) and not (tmp_path / "request").exists()
    assert (tmp_path / "saved").exists() == saved


def test_ctrl_c_again_does_not_wait_for_a_checkpoint(tmp_path: Path):
    process = start_job("would wait for an hour", tmp_path)
    process.send_signal(TERM)
    wait_for((tmp_path / "request").exists, "request for a checkpoint")
    process.send_signal(INT)
    printed = process.communicate()[1]
    assert process.returncode == 143 and printed.startswith("error: ended by SIGTERM")


def test_a_signal_that_the_shell_has_a_job_ignore_stays_ignored(tmp_path: Path):
    process = start_job("saves", tmp_path, signal.SIG_IGN)
    process.send_signal(INT)
    process.send_signal(TERM)
    process.communicate()
    assert process.returncode == 143


def test_a_job_whose_snakemake_is_killed_saves_and_ends(tmp_path: Path):
    snakemake = subprocess.Popen(["sleep", "600"])
    process = start_job("saves", tmp_path, **{SNAKEMAKE: f"{snakemake.pid} {here()}"})
    snakemake.kill()  # and a zombie until somebody looks after it
    printed = process.communicate()[1]
    assert process.returncode == 143 and (tmp_path / "saved").exists()
    assert printed == "error: ended because Snakemake died; run the same command again to resume\n"


def test_a_job_in_a_container_takes_no_process_there_for_its_snakemake(tmp_path: Path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    process = start_job("saves", tmp_path, **{SNAKEMAKE: f"{gone.pid} {here() + 1}"})
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)
    process.kill()
    process.communicate()


def test_a_training_that_is_asked_for_a_checkpoint_saves_after_the_iteration(
    stripes: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    saved = []
    monkeypatch.setattr(trainer, "SECONDS_BETWEEN", math.inf)  # none is due
    monkeypatch.setattr(trainer, "save_checkpoint", lambda folder, key, players, progress: saved.append(progress.done))
    job = Pretrain(
        train=Path(stripes.images.filename),
        network="resnet18",
        architecture={"width": 1 / 16},
        training=Pretraining(iterations=3, epochs=0, batch_size=8),
        augmentation=Augmentation(size=16),
        output=tmp_path / "made",
        checkpoints=tmp_path,
        resources=Resources(workers=0),
    )

    def call(function: Callable[[trainer.Call], None], given: trainer.Call) -> None:
        (given.folder / trainer.REQUEST).touch()
        function(given)
        assert not (given.folder / trainer.REQUEST).exists()

    trainer.train_discriminator(job, call)
    assert saved == [1]


@pytest.mark.parametrize(
    ("command", "is_one"),
    [
        (["python", "-m", "fig.stages.finetune", "--seed", "1"], True),
        (["/opt/env/bin/python3.12", "-m", "fig.stages.prepare"], True),
        (["bash", "-c", "set -euo pipefail; python -m fig.stages.finetune --seed 1 2> log"], False),
        (["apptainer", "exec", "image", "bash", "-c", "python -m fig.stages.finetune"], False),
        (["python", "-m", "fig", "report", "config.yaml"], False),
        (["ray::RayTrainWorker.execute"], False),
        ([], False),
    ],
)
def test_snakemake_tells_its_jobs_and_not_the_shells_around_them_nor_the_report(command: list[str], is_one: bool):
    assert is_job(command) == is_one


def test_fig_run_is_one_process_which_a_signal_reaches(tmp_path: Path):
    (tmp_path / "snakemake.py").write_text("import os; print(os.getpid())")
    command = [sys.executable, "-m", "fig", "run", "config/demo.yaml", "--cores", "1"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.communicate()[0] == f"{process.pid}\n"


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Path]:
    """What a killed job leaves in its temporary folder."""
    process = start_job("saves", tmp_path)
    process.kill()
    process.communicate()
    (folder,) = tmp_path.glob("fig-job-*")
    assert sorted(path.name for path in folder.iterdir()) == ["archive", "held"]
    yield folder


def test_what_a_killed_job_leaves_is_removed_by_the_next_one(left: Path):
    with scratch_folder(str(left.parent)) as own:
        assert not left.exists() and own.exists()
    assert not list(left.parent.glob("*fig-job-*"))


def test_the_temporary_files_of_others_are_left_alone(left: Path, tmp_path: Path):
    (tmp_path / "fig-job-notes").mkdir()
    (tmp_path / "fig-job-notes" / "mine.txt").touch()  # no job made it
    (tmp_path / "fig-job-link").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "held").touch()
    with scratch_folder(str(tmp_path)) as first, scratch_folder(str(tmp_path)) as second:
        assert first.exists() and second.exists() and first != second
        assert (tmp_path / "fig-job-notes" / "mine.txt").exists() and (tmp_path / "precious" / "held").exists()


def test_a_job_makes_its_temporary_files_in_its_own_folder(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", WITHIN],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    own, child, after = done.stdout.split()
    assert Path(own).parent == Path(child).parent and Path(own).parents[1] == tmp_path
    assert after == str(tmp_path) and not list(tmp_path.iterdir())


WITHIN = """
import subprocess, sys, tempfile
from fig.runtime.scratch import scratch_folder, temporary_files_in
with scratch_folder() as folder, temporary_files_in(folder):
    print(tempfile.mkdtemp())
    command = [sys.executable, "-c", "import tempfile; print(tempfile.mkdtemp())"]
    print(subprocess.run(command, capture_output=True, text=True).stdout.strip())
print(tempfile.gettempdir())
"""
