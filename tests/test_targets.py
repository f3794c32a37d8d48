"""The paper's tables and figures as targets of the workflow, in the plan of the paper's configuration."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from fig.commands.jobs import PlannedJob, list_jobs
from fig.study import Config, list_discriminators, read_config
from fig.study.targets import TARGETS
from support.workspace import Workspace, copy_of_results, linked_project

pytestmark = pytest.mark.pipeline
ROOT = Path(__file__).parents[1]
PAPER = ROOT / "config" / "paper.yaml"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[PlannedJob]:
    """Every job of the paper's study."""
    with linked_project(tmp_path_factory.mktemp("paper")):
        return list_jobs([PAPER])


@pytest.fixture(scope="module")
def study() -> Config:
    return read_config([PAPER])


@pytest.mark.parametrize("target", ["table1", "table2", "table3", "table4"])
def test_a_table_needs_the_discriminators_of_its_studies_alone(jobs: list[PlannedJob], study: Config, target: str):
    (job,) = [job for job in jobs if f"results/paper/tables/{target}.csv" in job.output]
    found = list_discriminators(study, TARGETS[target])
    assert found and job.rule == target
    assert set(job.input) == {f"results/paper/discriminators/{each.path}/metrics.csv" for each in found}
    assert {f"results/paper/tables/{target}.{suffix}" for suffix in ("csv", "md", "tex", "html")} < set(job.output)


def test_the_papers_study_compares_methods_in_pairs(jobs: list[PlannedJob]):
    (job,) = [job for job in jobs if job.rule == "paired"]
    assert "results/paper/figures/paired.png" in job.output
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
    jobs: list[PlannedJob], study: Config, target: str, behind: set[str], seeds: list[int]
):
    (job,) = [job for job in jobs if f"results/paper/figures/{target}.png" in job.output]
    found = [each for each in list_discriminators(study, TARGETS[target]) if each.seed in seeds]
    folders = {f"results/paper/discriminators/{each.path}" for each in found}
    assert folders and set(job.input) == {f"{folder}/{name}" for folder in folders for name in behind}


def test_gains_are_compared_with_the_spectra_of_the_very_images(jobs: list[PlannedJob]):
    (job,) = [job for job in jobs if "results/paper/tables/resampling.csv" in job.output]
    images = {path for path in job.input if path.startswith("data/")}
    assert len(images) == 3 + 12 and all(path.startswith("data/32/") for path in images)
    assert len(set(job.input) - images) == 3 * 3 * 3  # ID data sets, variants, seeds


def test_the_sampler_is_timed_for_small_and_large_images(jobs: list[PlannedJob]):
    (table,) = [job for job in jobs if "results/paper/tables/table5.csv" in job.output]
    measured = {f"results/paper/throughput/{name}/resnet18.json" for name in ("cifar10", "miniimagenet")}
    assert set(table.input) == measured == {job.output[0] for job in jobs if job.rule == "throughput"}


SHOWN = ("fig1", "fig2", "fig3", "fig4", "fig5", "table5", "resampling")
SETTINGS = {
    "throughput": {"batch": 8, "images": 12},
    "embedding": {"samples": 24, "confident": 0.0},
    "chains": {"steps": 12, "chains": 16, "images": 3, "wanted": {"digits": "3"}},
}


def test_a_finished_study_is_drawn_and_timed_and_what_is_drawn_follows_its_settings(
    finished: Workspace, tmp_path: Path
):
    workspace = copy_of_results(finished, tmp_path)
    study = yaml.safe_load((tmp_path / "tests/tiny.yaml").read_text()) | SETTINGS
    shown = {"variants": ["standard", "fig"], "detectors": ["baseline"], "targets": list(SHOWN)}
    study["studies"].append(study["studies"][0] | shown)
    (tmp_path / "shown.yaml").write_text(yaml.safe_dump(study))
    workspace.snakemake(*SHOWN, configfile="shown.yaml")
    run = tmp_path / "results/tiny"
    folder = run / "discriminators/digits/resnet18/standard/0"
    timed = json.loads((run / "throughput/digits/resnet18.json").read_text())
    assert (timed["images"], timed["batch"], timed["size"]) == (12, 8, 32) and 10 <= timed["steps"] <= 100
    assert timed["images_per_second"] == pytest.approx(12 / timed["seconds"])
    embedding, chains = np.load(folder / "embedding.npz"), np.load(folder / "chains.npz")
    assert len(embedding["generated"]) == embedding["above"] == 24 and len(embedding["test"]) == len(
        embedding["labels"]
    )
    assert chains["images"].shape[1:] == (32, 32, 3) and (chains["steps"], chains["chains"]) == (12, 16)
    drawn = {name: pd.read_csv(run / f"figures/{name}.csv") for name in (*SHOWN[:5], "resampling")}
    assert set(drawn["fig1"]["variant"]) == {"standard", "fig"} and drawn["fig1"]["mean"].between(0, 1).all()
    assert set(drawn["fig5"]["wanted"].astype(str)) == {"3"}
    assert all((run / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG") for name in drawn)
    assert workspace.planned(*SHOWN, configfile="shown.yaml") == set()
    workspace.edit("shown.yaml", "digits: '3'", "digits: '4'")
    assert workspace.planned(*SHOWN, configfile="shown.yaml") == {"chains", "fig5"}
