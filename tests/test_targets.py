"""The paper's tables and figures as targets of the workflow, in the plan of the paper's configuration."""

from pathlib import Path

import pytest
import yaml

from fig.commands.jobs import Job, jobs_of
from fig.configuration import complete, discriminators, studies_for

pytestmark = pytest.mark.pipeline
ROOT = Path(__file__).parents[1]
PAPER = ROOT / "config" / "paper.yaml"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """Every job of the paper's study."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("paper")
        for name in ("Snakefile", "workflow", "config", "fig"):
            (folder / name).symlink_to(ROOT / name)
        patch.chdir(folder)
        return jobs_of([PAPER])


@pytest.mark.parametrize("target", ["table1", "table2", "table3", "table4"])
def test_a_table_needs_the_discriminators_of_its_studies_alone(jobs: list[Job], target: str):
    (job,) = [job for job in jobs if f"results/paper/tables/{target}.csv" in job.output]
    study = complete(yaml.safe_load(PAPER.read_text()))
    assert studies_for(study, target)
    paths = {f"results/paper/discriminators/{found.path}/metrics.csv" for found in discriminators(study, target)}
    assert set(job.input) == paths
    assert {f"results/paper/tables/{target}.{suffix}" for suffix in ("csv", "md", "tex", "html")} < set(job.output)


def test_the_papers_study_compares_methods_in_pairs(jobs: list[Job]):
    (job,) = [job for job in jobs if job.rule == "paired"]
    assert "results/paper/figures/ranks.png" in job.output
    assert len(job.input) == 13 * 7 * 3


@pytest.mark.parametrize(
    ("target", "behind", "seeds"),
    [
        ("fig1", {"metrics.csv", "discriminator.json"}, [0, 1, 2]),
        ("fig2", {"metrics.csv"}, [0, 1, 2]),
        ("fig3", {"history.csv", "discriminator.json"}, [0, 1, 2]),
        ("fig4", {"embedding.npz"}, [0]),
        ("fig5", {"chains.npz"}, [0]),
    ],
)
def test_a_figure_needs_what_it_shows_of_its_studies_alone(
    jobs: list[Job], target: str, behind: set[str], seeds: list[int]
):
    (job,) = [job for job in jobs if f"results/paper/figures/{target}.png" in job.output]
    study = complete(yaml.safe_load(PAPER.read_text()))
    folders = {f"results/paper/discriminators/{d.path}" for d in discriminators(study, target) if d.seed in seeds}
    assert folders and set(job.input) == {f"{folder}/{name}" for folder in folders for name in behind}


def test_gains_are_compared_with_the_spectra_of_the_very_images(jobs: list[Job]):
    (job,) = [job for job in jobs if "results/paper/tables/resampling.csv" in job.output]
    images = {path for path in job.input if path.startswith("data/")}
    assert len(images) == 3 + 12 and all(path.startswith("data/32/") for path in images)
    assert len(set(job.input) - images) == 3 * 3 * 3  # ID data sets, variants, seeds


def test_the_sampler_is_timed_for_small_and_large_images(jobs: list[Job]):
    (table,) = [job for job in jobs if "results/paper/tables/table5.csv" in job.output]
    measured = {f"results/paper/throughput/{name}/resnet18.json" for name in ("cifar10", "miniimagenet")}
    assert set(table.input) == measured == {job.output[0] for job in jobs if job.rule == "throughput"}
