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
