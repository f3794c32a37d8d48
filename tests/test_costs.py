"""What jobs are estimated to cost, and what they ask a cluster for."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fig import costs
from fig.detectors.table import DETECTORS
from fig.methods.table import METHODS
from fig.runtime.record import Origin, Record, Times
from fig.settings import Resources
from fig.study import Config, list_discriminators, read_config

ROOT = Path(__file__).parents[1]
ONE = Resources()


@pytest.fixture(scope="module")
def paper() -> Config:
    return read_config([ROOT / "config" / "paper.yaml"])


def wildcards(**names: str) -> SimpleNamespace:
    return SimpleNamespace(**names, get=names.get)


def test_work_follows_images_size_and_samples(paper: Config):
    work = {each.path: costs.training_work(paper, each) for each in list_discriminators(paper)}
    assert work["cifar10/resnet18/standard/0"] == 200 * costs.TRAINING_IMAGES
    assert work["miniimagenet/resnet18/standard/0"] == 49 * work["cifar10/resnet18/standard/0"]
    assert work["cifar10/resnet18/fig-k0/0"] == 1000 * 128
    samples = 1.1 + 0.1 * costs.STEPS * 2 / 3  # a tenth more images, and as many chains, forward and back each step
    assert work["cifar10/resnet18/fig/0"] == pytest.approx(1000 * 128 * samples)


def test_an_evaluation_costs_its_detectors_passes(paper: Config):
    found = next(each for each in list_discriminators(paper) if each.path == "cifar10/resnet18/fig/0")
    alone, both = (replace(found, detectors=names) for names in (("baseline",), ("baseline", "odin")))
    ratio = costs.evaluation_work(paper, both) / costs.evaluation_work(paper, alone)
    assert ratio == pytest.approx(1 + DETECTORS["odin"].passes)


def finished_training(folder: Path, method: str, settings: dict, seconds: float, resources: Resources = ONE) -> Path:
    """A discriminator's folder that says a training of 1,000 images at full width took so long."""
    folder.mkdir()
    trained = {"iterations": 10, "batch_size": 100, "epochs": 0}
    card = {"id_dataset": "none", "architecture": {"network": "resnet18", "width": 1.0, "size": 32}}
    card |= {"settings": {"training": trained, "method": settings}}
    (folder / "discriminator.json").write_text(json.dumps(card))
    origin = Origin("pretrain", "code", {"method": method}, {})
    record = Record(origin, "python", {"resources": asdict(resources)}, Times(work=seconds))
    record.write(folder / "training.record.json")
    return folder


def test_the_measured_rate_allows_for_what_a_method_costs(tmp_path: Path):
    ad, jcl = METHODS["adversarial"].cost, METHODS["jcl"].cost + METHODS["jcl"].cost_beside
    folders = [
        finished_training(tmp_path / "standard", "standard", {}, 10),
        finished_training(tmp_path / "ad", "adversarial", {"magnitude": 0.1}, 10 * ad),
        finished_training(tmp_path / "jcl", "jcl", {}, 10 * jcl),
    ]
    assert [costs.measured([folder], "cpu").units for folder in folders] == pytest.approx([100, 100, 100])


def test_a_rate_is_that_of_one_worker_on_a_device_of_its_own_kind(tmp_path: Path):
    four = Resources(workers=4, gpus_per_worker=1)
    folder = finished_training(tmp_path / "standard", "standard", {}, 10, four)
    assert costs.measured([folder], "gpu").units == pytest.approx(25)
    assert costs.measured([folder], "cpu") is None


@pytest.mark.parametrize(
    ("resources", "cpus", "gpus", "nodes"),
    [
        (Resources(workers=0), 1, 0, {}),
        (Resources(workers=2, cpus_per_worker=3), 6, 0, {}),
        (Resources(workers=2, gpus_per_worker=0.5), 2, 1, {}),
        (
            Resources(workers=4, gpus_per_worker=1, nodes=2),
            4,
            4,
            {"nodes": 2, "tasks": 2, "cpus_per_task": 2, "mpi": "srun", "tasks_per_gpu": 0},
        ),
    ],
)
def test_a_job_asks_for_its_workers_cores_gpus_and_nodes(resources: Resources, cpus: int, gpus: int, nodes: dict):
    assert (costs.cpus_of(resources), costs.gpus_of(resources)) == (cpus, gpus)
    assert nodes.items() <= costs.ask_nodes(resources).items() and bool(nodes) == bool(costs.ask_nodes(resources))


def test_a_later_attempt_asks_for_more_time_and_memory_up_to_a_day(paper: Config):
    asked = costs.ask_training(paper)
    names = wildcards(id_dataset="cifar10", network="resnet18", variant="fig")
    first, second = ((asked["runtime"](names, n), asked["mem_mb"](names, n)) for n in (1, 2))
    assert second[0] > first[0] and second[1] == 2 * first[1]
    longest = wildcards(id_dataset="miniimagenet", network="resnet18", variant="standard")
    assert asked["runtime"](longest, 5) == costs.LONGEST


def test_workers_are_options_of_the_command(paper: Config):
    assert "--resources.gpus-per-worker 1" in costs.ask_training(paper)["workers"]


def test_all_evaluations_ask_for_what_the_largest_needs(paper: Config):
    asked = costs.ask_evaluation(paper)
    small, large = (wildcards(id_dataset=name, network="resnet18") for name in ("cifar10", "miniimagenet"))
    assert asked["runtime"](small, 1) == asked["runtime"](large, 1)


def test_a_plan_counts_what_is_done_and_what_is_left(paper: Config, tmp_path: Path):
    found = list_discriminators(paper)[0]
    before = costs.plan_study(paper, tmp_path, costs.Rate(1, ""))
    (tmp_path / found.path).mkdir(parents=True)
    (tmp_path / found.path / "discriminator.json").touch()
    after = costs.plan_study(paper, tmp_path, costs.Rate(1, ""))
    rule = next(name for name in before if before[name] != after[name])
    assert after[rule].done == before[rule].done + 1 and after[rule].jobs == before[rule].jobs
    assert before[rule].hours - after[rule].hours == pytest.approx(costs.training_work(paper, found) / 3600)
