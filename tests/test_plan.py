"""What fig plan says of a study that is done, changed, or not begun."""

import json
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


def finished_training(folder: Path, variant: str, method: str, settings: dict, seconds: float) -> Path:
    """A discriminator's folder that says a training of 1,000 images at full width took so long."""
    folder.mkdir()
    architecture = {"network": "resnet18", "width": 1.0, "size": 32}
    trained = {"iterations": 10, "batch_size": 100}
    card = {"variant": variant, "id_dataset": "none", "architecture": architecture}
    card |= {"settings": {"training": trained, "method": settings}}
    told = {"work": seconds, "made_of": {"options": {"--settings": [json.dumps({"method": method})]}}}
    (folder / "discriminator.json").write_text(json.dumps(card))
    (folder / "timing.training.json").write_text(json.dumps(told))
    return folder


def test_the_measured_rate_allows_for_what_a_method_costs(tmp_path: Path):
    fast = finished_training(tmp_path / "standard", "standard", "standard", {}, 10)
    slow = finished_training(
        tmp_path / "ad", "ad", "adversarial", {"magnitude": 0.1}, 10 * costs.METHODS["adversarial"]
    )
    gan = finished_training(tmp_path / "jcl", "jcl", "jcl", {}, 10 * (costs.METHODS["jcl"] + costs.BESIDE["jcl"]))
    rates = [costs.measured([folder], "cpu") for folder in (fast, slow, gan)]
    assert [rate.units for rate in rates] == pytest.approx([100, 100, 100])


def test_a_rate_is_that_of_one_worker_on_a_device_of_its_own_kind(tmp_path: Path):
    folder = finished_training(tmp_path / "standard", "standard", "standard", {}, 10)
    path = folder / "timing.training.json"
    resources = """'{"workers": 4, "gpus_per_worker": 1}'"""
    command = f"python -m fig.stages.pretrain --seed 0 --resources {resources}"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"command": command}))
    assert costs.measured([folder], "gpu").units == pytest.approx(25)
    assert costs.measured([folder], "cpu") is None


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
