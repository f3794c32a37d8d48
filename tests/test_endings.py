"""What becomes of a study whose processes get a signal: Snakemake, a job, its worker, Ray, at points of a stage."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import psutil
import pytest

from support.barriers import AFTER_CHECKPOINT, BEFORE_CHECKPOINT, BETWEEN_SCORES, WRITING_CHECKPOINT, Barrier
from support.processes import HANGS, count_saved_rows, find_processes, is_agent, processes_of, wait_for
from support.study import RESULTS, forget, requested, start, start_snakemake, without
from support.workspace import Workspace

pytestmark = pytest.mark.pipeline

INT, TERM, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGKILL
TRAINER, SCORING = "fig.stages.support.trainer", "fig.stages.support.scoring"
MIRRORING = "before fig.runtime.tracking.try_to_mirror"
OF_TRAINING = (
    f"before {TRAINER}.is_made",
    f"before {TRAINER}.start",
    f"after {TRAINER}.start",
    "after fig.checkpoint.load_checkpoint",
    f"before {TRAINER}.write_history",
    BEFORE_CHECKPOINT,
    WRITING_CHECKPOINT,
    AFTER_CHECKPOINT,
    "before fig.discriminator.save",
    "after fig.discriminator.save",
    MIRRORING,
)
OF_EVALUATION = (
    "before fig.evaluation.fit_detectors",
    "after fig.evaluation.fit_detectors",
    "before fig.evaluation.score_split",
    BETWEEN_SCORES,
    "before fig.evaluation.metric_rows",
    "after fig.evaluation.metric_rows",
    f"before {SCORING}.write_metrics",
    f"after {SCORING}.write_metrics",
    f"before {SCORING}.draw_samples",
    f"after {SCORING}.draw_samples",
    MIRRORING,
)
POINTS = {"pretrain": OF_TRAINING, "finetune": OF_TRAINING, "evaluate": OF_EVALUATION}
SHARED = Path("/dev/shm")
SENTENCE = "; run the same command again to resume"


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of temporary files of what a test starts; its name is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


def assert_nothing_is_left(workspace: Workspace, temporary: Path, shared: set[Path]) -> None:
    """No process of the workspace, so no port, no temporary file, and no shared memory of a process that has ended."""

    def left() -> list[object]:
        new = set(SHARED.iterdir()) - shared
        orphaned = [path for path in new if not any(str(path) in maps for maps in memory_maps())] if new else []
        return [*processes_of(workspace), *temporary.iterdir(), *orphaned]

    wait_for(lambda: not left(), "end without leftovers")


def memory_maps() -> Iterator[str]:
    """What each process of this machine has in its memory: what other tests share is not ours."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            yield (process / "maps").read_text()


def tell(process: psutil.Process | subprocess.Popen, number: signal.Signals, workspace: Workspace, barrier: Barrier):
    """Send the signal to what is held, and let it go on once it has heard."""
    process.send_signal(number)
    if number != KILL:
        wait_for(lambda: requested(workspace) or has_ended(process), "job that has heard")
    barrier.open()


def has_ended(process: psutil.Process | subprocess.Popen) -> bool:
    if isinstance(process, subprocess.Popen):
        return process.poll() is not None
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


AFTER_WEIGHTS = "after fig.discriminator.save"
FEW = [("finetune", BEFORE_CHECKPOINT, TERM), ("evaluate", BETWEEN_SCORES, INT)]
MANY = [
    ("finetune", f"before {TRAINER}.start", INT),
    ("finetune", AFTER_WEIGHTS, TERM),
    ("pretrain", AFTER_CHECKPOINT, INT),
    ("evaluate", f"after {SCORING}.write_metrics", TERM),
]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("stage", "point", "number"), [*FEW, *(pytest.param(*each, marks=pytest.mark.long) for each in MANY)]
)
def test_a_signal_to_snakemake_alone_ends_its_jobs_and_leaves_nothing(
    stage: str,
    point: str,
    number: signal.Signals,
    finished: Workspace,
    temporary: Path,
    workspace: Workspace,
    barrier: Barrier,
):
    shared = set(SHARED.iterdir())
    result, log = without(workspace, RESULTS[stage]).folder / RESULTS[stage], f"results/tiny/logs/{stage}"
    barrier.close(point)
    snakemake = start_snakemake(workspace, barrier, RESULTS[stage])
    job = barrier.wait()
    before = count_saved_rows(workspace.folder)
    snakemake.send_signal(number)
    wait_for(lambda: requested(workspace) or has_ended(job), "job with a signal")
    barrier.open()
    assert snakemake.wait(HANGS) == 1
    (said,) = [path.read_text() for path in (workspace.folder / log).glob("**/0.log") if SENTENCE in path.read_text()]
    assert "error: ended by SIGTERM" in said and "Traceback" not in said
    if point != AFTER_WEIGHTS:  # then a job that is quicker than the signal has removed its checkpoint
        assert count_saved_rows(workspace.folder) >= before + (point == BEFORE_CHECKPOINT)
    assert_nothing_is_left(workspace, temporary, shared)
    workspace.snakemake(RESULTS[stage])
    assert result.read_bytes() == (finished.folder / RESULTS[stage]).read_bytes()


@pytest.mark.long
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("stage", RESULTS)
def test_a_job_that_is_ended_at_any_point_resumes_with_the_same_results_and_leaves_nothing(
    stage: str, finished: Workspace, temporary: Path, workspace: Workspace, barrier: Barrier
):
    shared = set(SHARED.iterdir())
    command = forget(workspace, stage, workers=0)
    saved = 0
    for point, number in zip(POINTS[stage], cycle((TERM, INT, KILL))):
        barrier.close(point)
        job = start(command, workspace, barrier)
        assert barrier.wait().pid == job.pid
        tell(job, number, workspace, barrier)
        said = job.communicate()[1]
        assert job.returncode == (-KILL if number == KILL else 128 + number), (point, said)
        assert number == KILL or said.splitlines()[-1] == f"error: ended by {number.name}{SENTENCE}", (point, said)
        assert "Traceback" not in said
        if number != KILL:
            assert_nothing_is_left(workspace, temporary, shared)
        assert len(list(temporary.iterdir())) <= 1, "more than the last one that was killed left"
        assert (
            stage == "evaluate"
            or "fig.discriminator" in point
            or point == MIRRORING
            or count_saved_rows(workspace.folder) >= saved
        )
        saved = count_saved_rows(workspace.folder)
    job = start(command, workspace, barrier)
    assert job.communicate() and job.returncode == 0
    assert (workspace.folder / RESULTS[stage]).read_bytes() == (finished.folder / RESULTS[stage]).read_bytes()
    assert_nothing_is_left(workspace, temporary, shared)


DRIVER, WORKER, RAYLET = "-m fig.stages", "ray::RayTrainWorker", "raylet/raylet"
SIGNALS = [  # who gets which signal, at which point, and the job's status; None if the job continues by itself
    (WORKER, TERM, AFTER_CHECKPOINT, None),
    (DRIVER, TERM, BEFORE_CHECKPOINT, 143),
    (WORKER, INT, BEFORE_CHECKPOINT, None),
    (DRIVER, INT, AFTER_CHECKPOINT, 130),
    (RAYLET, TERM, AFTER_CHECKPOINT, 1),
    (RAYLET, INT, WRITING_CHECKPOINT, None),  # Ray ignores it
    (DRIVER, KILL, AFTER_CHECKPOINT, -9),
]


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_a_job_continues_or_reports_it_when_a_part_of_ray_is_ended_and_leaves_nothing(
    finished: Workspace, temporary: Path, workspace: Workspace, barrier: Barrier
):
    shared = set(SHARED.iterdir())
    command = forget(workspace, "finetune", workers=1)
    job = None
    for words, number, point, status in SIGNALS:
        barrier.close(point)
        job = job or start(command, workspace, barrier)
        held = barrier.wait()
        (victim,) = find_processes(workspace, words)
        victim.send_signal(number)
        if status is None:
            continue
        if words == DRIVER and number != KILL:
            wait_for(lambda: requested(workspace), "job that has heard")
        barrier.close(BEFORE_CHECKPOINT)  # the worker is let go, but not to the end of the training
        said = job.communicate()[1]
        assert job.returncode == status, (words, number, said)
        if words == DRIVER and number != KILL:
            assert said.splitlines()[-1] == f"error: ended by {number.name}{SENTENCE}", said
            assert_nothing_is_left(workspace, temporary, shared)
        psutil.wait_procs([held], HANGS)
        wait_for(lambda: not [each for each in processes_of(workspace) if not is_agent(each)], "end of Ray")
        job = None
    barrier.open()
    done = start([*command[:-1], "0"], workspace, barrier)  # to the same weights, and faster without Ray
    assert done.communicate() and done.returncode == 0
    assert (workspace.folder / RESULTS["finetune"]).read_bytes() == (finished.folder / RESULTS["finetune"]).read_bytes()
    assert_nothing_is_left(workspace, temporary, shared)
