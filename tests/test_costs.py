"""What jobs are estimated to cost, and what they ask a cluster for."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fig import costs
from fig.detectors.table import DETECTORS
from fig.rates import Device
from fig.settings import Resources
from fig.study import Config, list_discriminators, read_config
from fig.work import STEPS, Load, work_of_training

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def paper() -> Config:
    return read_config([ROOT / "config" / "paper.yaml"])


def wildcards(**names: str) -> SimpleNamespace:
    return SimpleNamespace(**names, get=names.get)


def full(network: str) -> Load:
    return Load(network, 1.0, "float32")


def test_work_follows_images_size_and_samples(paper: Config):
    work = {each.path: costs.training_work(paper, each) for each in list_discriminators(paper)}
    resnet18, vgg19 = full("resnet18"), full("vgg19")
    assert work["cifar10/resnet18/standard/0"] == {resnet18: 200 * costs.TRAINING_IMAGES}
    assert work["miniimagenet/resnet18/standard/0"][resnet18] == 200 * costs.TRAINING_IMAGES * 49 / 16  # by its stem
    assert work["cifar10/resnet18/fig-k0/0"] == {resnet18: 1000 * 128}
    drawn = 0.1 * STEPS * 2 / 3  # a chain for each tenth image, forward and back each step
    assert work["cifar10/resnet18/fig/0"] == {resnet18: pytest.approx(1000 * 128 * (1.1 + drawn))}
    followed = work["cifar10/resnet18/fig-teacher-vgg19/0"]
    assert followed == pytest.approx({resnet18: 1000 * 128 * 1.1, vgg19: 1000 * 128 * drawn})


def test_a_gan_costs_its_filters_squared():
    whole, thin = (work_of_training(full("vgg19"), 32, "jcl", {"filters": filters}, 1000) for filters in (64, 8))
    assert thin[full("resnet18")] == whole[full("resnet18")] / 64 and thin[full("vgg19")] == whole[full("vgg19")]


def test_steps_that_a_method_states_cost_their_passes():
    ceda, acet = (work_of_training(full("resnet18"), 32, "acet", {"steps": steps}, 1000) for steps in (0, 40))
    passes = 40 * 2 + 2  # forward and back by images in each, forward at the noise and at the end
    assert ceda == {full("resnet18"): 2000} and acet == pytest.approx({full("resnet18"): 2000 + passes * 1000 / 3})


def test_samples_are_drawn_in_the_precision_and_for_the_steps_of_their_sampler(paper: Config):
    sampler = {"precision": "bfloat16", "min_steps": 100, "max_steps": 100}
    found = next(each for each in list_discriminators(paper) if each.path == "cifar10/resnet18/fig/0")
    differing = replace(paper.variants["fig"], differences={"fig": {"sampler": sampler}})
    work = costs.training_work(replace(paper, variants={**paper.variants, "fig": differing}), found)
    assert work[full("resnet18")._replace(precision="bfloat16")] == pytest.approx(1000 * 128 * 0.1 * 100 * 2 / 3)


def test_an_evaluation_costs_its_detectors_passes(paper: Config):
    found = next(each for each in list_discriminators(paper) if each.path == "cifar10/resnet18/fig/0")
    alone, both = (replace(found, detectors=names) for names in (("baseline",), ("baseline", "odin")))
    first, second = (costs.evaluation_work(paper, each)[full("resnet18")] for each in (alone, both))
    assert second / first == pytest.approx(1 + DETECTORS["odin"].passes)


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
    assert "--resources.gpus-per-worker 1" in costs.state_workers(paper.resources.training)


def test_all_evaluations_ask_for_what_the_largest_needs(paper: Config):
    asked = costs.ask_evaluation(paper)
    small, large = (wildcards(id_dataset=name, network="resnet18") for name in ("cifar10", "miniimagenet"))
    assert asked["runtime"](small, 1) == asked["runtime"](large, 1)


def test_a_plan_counts_what_is_done_and_what_is_left(paper: Config, tmp_path: Path):
    found = list_discriminators(paper)[0]
    device = Device("gpu", "A100")
    before = costs.plan_study(paper, tmp_path, device)
    (tmp_path / found.path).mkdir(parents=True)
    (tmp_path / found.path / "discriminator.json").touch()
    after = costs.plan_study(paper, tmp_path, device)
    rule = next(name for name in before if before[name] != after[name])
    assert after[rule].done == before[rule].done + 1 and after[rule].jobs == before[rule].jobs
    assert before[rule].hours - after[rule].hours == pytest.approx(
        device.seconds(costs.training_work(paper, found)) / 3600
    )
