"""What the tests share: one finished run of the real Snakefile, small data, small discriminators."""

import math
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from filelock import FileLock
from torch import nn

from fig.data.arrays import Split, open_split, write_description, write_images
from fig.discriminator import Architecture, Discriminator
from fig.extras import missing_extra
from support.disks import Disk, mounted_disk
from support.workspace import SECRETS, Workspace, copy_of_project, copy_of_results

if TYPE_CHECKING:
    from support.barriers import Barrier  # psutil comes with the pipeline

BEGAN = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--core", action="store_true", help="run only the tests that need no library of an extra")
    parser.addoption("--minutes", type=float, default=math.inf, help="skip long tests that begin later")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """With `--core`, skip a test module that imports a library of an extra."""
    report = yield
    if report.failed and collector.config.getoption("--core"):
        error = report.call.excinfo.value.__cause__
        if isinstance(error, ImportError) and missing_extra(error.name):
            report.outcome = "skipped"
            report.longrepr = (str(collector.path), 0, f"Skipped: {error.name} is not installed")
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of tests that run the pipeline, and end with those that have long tests.

    So a slow machine, which begins no long test after `--minutes`, has run the others by then.
    """
    long, pipeline = ({item.path for item in items if item.get_closest_marker(mark)} for mark in ("long", "pipeline"))
    items.sort(key=lambda item: (item.path in long, item.path not in pipeline))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """With `--minutes`, skip a long test whose turn comes later, before its fixtures are made."""
    minutes = item.config.getoption("--minutes")
    if item.get_closest_marker("long") and time.monotonic() - BEGAN > 60 * minutes:
        pytest.skip(f"it takes long, and the tests began more than {minutes:g} minutes ago")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all processes of this session have in common."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


TINY = ("snakemake", "--profile", "local", "--configfile", "tests/tiny.yaml")


@pytest.fixture(scope="session")
def finished(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of the project in which tests/tiny.yaml was run, once a session; a test that changes one copies it.

    There were secrets in the environment, and what Snakemake said is in the file finished.done.
    """
    made = Workspace(shared / "finished")
    with FileLock(shared / "finished.lock"):
        if not (shared / "finished.done").exists():
            made.folder.mkdir()
            done = copy_of_project(made.folder).run(*TINY, **SECRETS)
            (shared / "finished.done").write_text(done.stdout + done.stderr)
    return copy_of_results(made, tmp_path_factory.mktemp("finished"))


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished run that a test may change."""
    return copy_of_results(finished, tmp_path)


@pytest.fixture
def barrier(workspace: Workspace) -> Iterator["Barrier"]:
    """A barrier for the workspace's jobs, all of which are ended in the end: a failure leaves no orphan."""
    from support.barriers import barrier_in
    from support.processes import processes_of

    yield barrier_in(workspace)
    for process in processes_of(workspace):
        process.kill()


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def linear() -> nn.Module:
    """A linear discriminator of 8 x 8 images, whose logits and gradients are known in closed form."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    return network.requires_grad_()


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """A prepared training split of 40 small images of two classes, horizontal and vertical stripes, with noise."""
    draw = np.random.default_rng(0)
    labels = np.arange(40) % 2
    pattern = np.tile([[40], [215]], (8, 16)).astype(float)
    images = np.stack([pattern if label else pattern.T for label in labels])[..., None]
    images = (images + draw.normal(0, 20, (40, 16, 16, 3))).clip(0, 255).astype(np.uint8)
    path: Path = tmp_path_factory.mktemp("stripes") / "16" / "stripes" / "train.npy"
    path.parent.mkdir(parents=True)
    written = write_images(path, np.array_split(images, 3))
    write_description(path, written, labels.tolist(), ["horizontal", "vertical"], {"source": "drawn"})
    return open_split(path)


@pytest.fixture
def small() -> Discriminator:
    """A ResNet18 of a sixteenth of its width for `stripes`."""
    return Discriminator(Architecture("resnet18", classes=2, size=16, width=1 / 16), seed=0)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of four megabytes."""
    with mounted_disk(tmp_path / "disk", "4m"):
        yield Disk(tmp_path / "disk")
