"""Large studies: the work of a command grows with the discriminators of a study, and no faster. It is counted."""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir
from functools import partial
from pathlib import Path
from types import FrameType, ModuleType
from typing import NamedTuple

import pandas as pd
import pytest
from sqlalchemy import Engine, event

from fig.commands.jobs import PlannedJob, list_jobs
from fig.commands.stale import find_stale
from fig.costs import plan_study
from fig.rates import Device, slowest_device
from fig.report.plots import DPI, MOST
from fig.report.results import KEY
from fig.report.targets.gains import COLUMNS, PAIR, choose_pairs, draw_gains
from fig.report.targets.training import draw_histories
from fig.runtime.record import Times
from fig.runtime.tracking import mirror
from fig.stages.support.pages import write_pages
from fig.study import read_config
from support.runs import read_text
from support.workspace import ROOT

pytestmark = pytest.mark.pipeline
LINEAR = 2.2  # times as much for twice as many, and a little
CORE_SECONDS, MEGABYTES = 360, 1000  # of a command on a study of 1,000 jobs: several times a fifth of what 5,000 take
STEPS = 100  # of SQLite's machine between two counts of it
opened: list[str] = []  # what this process has opened: an audit hook stays as long as the process does


class Work(NamedTuple):
    """What a piece of work took: files that it opened, and lines of `fig` that it ran."""

    files: int
    steps: int


@pytest.fixture(scope="module")
def big() -> Iterator[ModuleType]:
    """The benchmark that writes and measures large studies."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import big_study

    yield big_study
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def study(big: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, list[PlannedJob]]]:
    """A study of 16 discriminators, in the working directory: the jobs of two of its seeds, and of all four."""
    sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
    with chdir(tmp_path_factory.mktemp("big")):
        configs = {seeds: Path(f"{seeds}.yaml") for seeds in (2, 4)}
        for seeds, path in configs.items():
            big.write_config(path, variants=16, seeds=seeds, networks=big.NETWORKS[:1])
        assert big.write_study(configs[4]) > 125
        yield {seeds: list_jobs([path]) for seeds, path in configs.items()}


def count_work(work: Callable[[], object]) -> Work:
    """Do a piece of work and count; a loop within one line counts as often as it comes round."""
    steps, ours = 0, str(ROOT / "fig")

    def trace(frame: FrameType, kind: str, _: object) -> Callable | None:
        nonlocal steps
        steps += kind == "line"
        return trace if frame.f_code.co_filename.startswith(ours) else None

    opened.clear()
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return Work(len(opened), steps)


def check_growth(first: Callable[[], object], half: Callable[[], object], whole: Callable[[], object]) -> None:
    """Check that the whole takes no more than LINEAR times what the half takes; `first` does what is done once."""
    first()
    less, more = count_work(half), count_work(whole)
    assert all(two <= LINEAR * max(one, 10) for one, two in zip(less, more, strict=True)), (less, more)


def test_what_is_written_of_a_large_study_is_neither_stale_nor_left_to_do(study: dict[int, list[PlannedJob]]):
    assert find_stale(study[4]) == {}
    assert [job.rule for job in study[4] if not all(Path(path).exists() for path in job.output)] == []


def test_what_is_stale_is_found_in_work_that_grows_with_the_jobs(study: dict[int, list[PlannedJob]]):
    half, whole = (partial(find_stale, jobs) for jobs in study.values())
    check_growth(half, half, whole)


def test_a_plan_is_made_in_work_that_grows_with_the_jobs(study: dict[int, list[PlannedJob]]):
    run, device = Path("results/big/discriminators"), Device("cpu", slowest_device("cpu"))
    configs = [read_config([Path(f"{seeds}.yaml")]) for seeds in study]
    half, whole = (partial(plan_study, config, run, device) for config in configs)
    check_growth(half, half, whole)


def test_snakemake_plans_the_jobs_in_work_that_grows_with_them(study: dict[int, list[PlannedJob]]):
    half, whole = (partial(list_jobs, [Path(f"{seeds}.yaml")]) for seeds in study)
    check_growth(lambda: None, half, whole)


def test_pages_are_written_in_work_that_grows_with_the_discriminators(
    study: dict[int, list[PlannedJob]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("fig.report.page.render_single", lambda single, *_: single.key)  # of itself alone
    monkeypatch.setattr("fig.stages.support.pages.write_text", lambda path, text: None)
    reports = [next(planned.job for planned in jobs if planned.rule == "report") for jobs in study.values()]
    half, whole = (partial(write_pages, job, partial=False) for job in reports)
    check_growth(lambda: None, half, whole)


@pytest.mark.parametrize("name", ["comparison", "table2", "fig1", "scores"])
def test_a_target_is_made_in_work_that_grows_with_the_discriminators(study: dict[int, list[PlannedJob]], name: str):
    made = [next(planned.job for planned in jobs if planned.rule == name) for jobs in study.values()]
    half, whole = (partial(job.run, Times()) for job in made)
    check_growth(half, half, whole)


def test_a_figure_has_a_bounded_number_of_panels_and_says_what_it_leaves_out():
    columns = ["iteration", "id_confidence", "generated_confidence", "id_energy", "generated_energy"]
    names = [("digits", "resnet18", f"fig-{number}", seed) for number in range(150) for seed in (0, 1)]
    rows = [dict(zip([*KEY, *columns], (*key, 10, 0.9, 0.5, -8.0, -1.0), strict=True)) for key in names]
    figure = draw_histories(pd.DataFrame(rows), {}, {}, "")
    assert len(figure.axes) == 2 * MOST and figure.get_figwidth() * DPI < 2**16
    assert "Shown are 48 of 150: its values (CSV) hold the others" in read_text(figure)


def test_gains_of_every_variant_on_every_network_are_drawn_where_there_are_more_pairs_than_a_figure_holds():
    controls = ["standard", "gaussian", "start"]
    names = [("digits", network, f"fig-{number}") for network in ("resnet18", "airbench") for number in range(12)]
    rows = [(*name, "baseline", control, "auroc", "near", 0.01, 0.0, 0.02, 3) for name in names for control in controls]
    table = pd.DataFrame(rows, columns=COLUMNS)
    drawn = choose_pairs(table[PAIR])
    assert len(drawn) == MOST and drawn.index.is_monotonic_increasing
    assert set(zip(drawn["network"], drawn["variant"], drawn["control"], strict=True)) == {
        (*name[1:], control) for name in names for control in controls[:2]
    }
    assert "Shown are 48 of 72: its values (CSV) hold the others" in read_text(draw_gains(table, {}))


def test_to_mirror_a_discriminator_takes_no_more_of_sqlite_among_many_than_among_few(
    study: dict[int, list[PlannedJob]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folders = sorted(Path("results").glob("big/discriminators/*/*/fig-*/*/"))[:40]
    steps: list[int] = []

    @event.listens_for(Engine, "connect")
    def count(connection: sqlite3.Connection, _: object) -> None:
        connection.set_progress_handler(lambda: steps.append(STEPS), STEPS)

    taken = []
    for folder in folders:
        steps.clear()
        mirror(folder.resolve())
        taken.append(sum(steps))
    event.remove(Engine, "connect", count)
    assert max(taken[-10:]) < 1.2 * max(taken[5:15]), taken


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_thousand_jobs_are_planned_reported_and_mirrored_within_bounds(big: ModuleType, tmp_path: Path):
    with chdir(tmp_path):
        config = Path("big.yaml")
        big.write_config(config, variants=16, seeds=8)
        assert big.write_study(config) > 1000
        for what, command in big.list_commands(config).items():
            taken = big.run(command)
            assert "stale" not in taken.printed, what
            assert taken.core < CORE_SECONDS and taken.megabytes < MEGABYTES, (what, taken)
        files, size = big.count_files(Path())
        assert files < 30_000 and size < 6e8
        if big.CHROMIUM:
            assert min(big.load_page(Path("results/big/partial.html")) for _ in range(3)) < 3
