"""What fig plan says of a study that is done or changed."""

from pathlib import Path

import pytest

from support.workspace import Workspace, copy_of_results


@pytest.mark.pipeline
def test_a_finished_study_is_done_and_a_change_is_seen_without_snakemakes_memory(finished: Workspace, tmp_path: Path):
    workspace = copy_of_results(finished, tmp_path)
    plan = ("python", "-m", "fig", "plan", "tests/tiny.yaml")
    printed = workspace.run(*plan).stdout
    assert "(measured: the median of 3 trainings here)" in printed and "stale" not in printed  # and the teacher's own
    workspace.edit("tests/tiny.yaml", "  fig: {method: fig}\n", "  fig: {method: fig, fig: {K: 0.2}}\n")
    printed = workspace.run(*plan).stdout
    assert (
        "fig/0/model.safetensors: its settings settings.K changed" in printed and printed.count("stale: finetune") == 1
    )
    workspace.edit("fig/methods/deconf.py", '"deconf"', '"deconf" + ""')
    printed = workspace.run(*plan).stdout
    assert "deconf/0/model.safetensors: its code changed" in printed and printed.count("stale: retrain") == 1
