"""What a site says: profiles/default/config.yaml over the profile for Slurm. No Slurm is needed."""

from pathlib import Path

import pytest

from support.workspace import Workspace, copy_of_results

pytestmark = pytest.mark.pipeline


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    return copy_of_results(finished, tmp_path)


def says(workspace: Workspace, site: str) -> None:
    folder = workspace.folder / "profiles" / "default"
    folder.mkdir()
    (folder / "config.yaml").write_text(site)


def resources(workspace: Workspace, rule: str) -> list[str]:
    """A rule's resources, a line for each of its jobs, in a dry run of everything on Slurm."""
    command = ("snakemake", "--profile", "slurm", "--configfile", "tests/tiny.yaml", "--dry-run", "--forceall")
    jobs = workspace.run(*command).stdout.split("\nrule ")
    lines = (job.splitlines() for job in jobs if job.startswith(f"{rule}:"))
    return [next(line for line in job if "resources:" in line) for job in lines]


def test_a_sites_resources_win_and_what_it_does_not_name_stays(workspace: Workspace):
    before = resources(workspace, "evaluate")
    says(workspace, "set-resources: {pretrain: {slurm_partition: large, mem_mb: attempt * 123}}\n")
    assert all("slurm_partition=large" in line and "mem_mb=123" in line for line in resources(workspace, "pretrain"))
    assert resources(workspace, "evaluate") == before


def test_a_sites_resources_rerun_nothing(workspace: Workspace):
    says(workspace, "default-resources: {slurm_partition: large}\nset-resources: {pretrain: {mem_mb: 123, gpu: 4}}\n")
    assert workspace.planned() == set()
    planned = workspace.run("snakemake", "--profile", "slurm", "--configfile", "tests/tiny.yaml", "--dry-run")
    assert "Nothing to be done" in planned.stdout + planned.stderr


def test_all_evaluations_of_a_run_ask_for_the_same(workspace: Workspace):
    asked = resources(workspace, "evaluate")
    assert len(asked) == 4 and len(set(asked)) == 1


def test_workers_on_several_nodes_ask_for_an_even_share_of_each(workspace: Workspace):
    stated = "{workers: 4, nodes: 2, cpus_per_worker: 3, gpus_per_worker: 1}"
    workspace.edit("tests/tiny.yaml", "training: {workers: 0}", f"training: {stated}")
    (asked,) = resources(workspace, "pretrain")[:1]
    share = ("nodes=2", "tasks=2", "cpus_per_task=6", "gpu=4", "slurm_extra=--gpus-per-node=2", "mem_mb=16000")
    assert all(f" {word}," in f"{asked}," for word in share), asked
    workspace.edit("tests/tiny.yaml", "workers: 4", "workers: 3")
    refused = workspace.run("snakemake", "--profile", "slurm", "--configfile", "tests/tiny.yaml", "-n", check=False)
    assert refused.returncode and "workers must be a multiple of nodes" in refused.stdout + refused.stderr
