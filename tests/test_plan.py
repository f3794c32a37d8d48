"""What fig plan says of a study that is done, changed, or not begun."""

from pathlib import Path

import pytest
import yaml
from workspace import Workspace, copy_of_results

from fig import costs
from fig.configuration import complete, discriminators, teachers

ROOT = Path(__file__).parents[1]
PAPER = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())


def test_work_follows_images_size_and_samples():
    study = complete(PAPER)
    work = {each.path: costs.training_work(study, each) for each in discriminators(study)}
    assert work["cifar10/resnet18/standard/0"] == 200 * costs.TRAINING_IMAGES
    assert work["miniimagenet/resnet18/standard/0"] == 49 * work["cifar10/resnet18/standard/0"]
    assert work["cifar10/resnet18/fig-k0/0"] == 1000 * 128
    samples = 1.1 + 0.1 * costs.STEPS * 2 / 3  # a tenth more images, and as many chains, forward and back each step
    assert work["cifar10/resnet18/fig/0"] == pytest.approx(1000 * 128 * samples)


def test_a_teacher_that_is_not_evaluated_is_trained_all_the_same():
    study = complete(yaml.safe_load((ROOT / "config" / "demo.yaml").read_text()))
    assert [each.path for each in teachers(study)] == [f"digits/vgg19/standard/{seed}" for seed in (0, 1)]
    assert list(teachers(complete(PAPER))) == []


@pytest.mark.pipeline
def test_a_finished_study_is_done_and_a_change_is_seen_without_snakemakes_memory(finished: Workspace, tmp_path: Path):
    workspace = copy_of_results(finished, tmp_path)
    told = workspace.run("python", "-m", "fig", "plan", "tests/tiny.yaml").stdout
    assert "measured: the median of 5 trainings" in told and "stale" not in told
    workspace.edit("tests/tiny.yaml", "  fig: {method: fig}\n", "  fig: {method: fig, fig: {K: 0.2}}\n")
    told = workspace.run("python", "-m", "fig", "plan", "tests/tiny.yaml").stdout
    assert "fig/0/model.safetensors: its settings changed" in told and told.count("stale") == 1
    workspace.edit("fig/methods/deconf.py", '"deconf"', '"deconf" + ""')
    told = workspace.run("python", "-m", "fig", "plan", "tests/tiny.yaml").stdout
    assert "deconf/0/model.safetensors: its code changed" in told and told.count("stale") == 2
