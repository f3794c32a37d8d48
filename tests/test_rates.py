"""How fast devices are said to be: against runs that were timed, counted arithmetic, and one's own trainings."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fig.costs import MB_OF_AN_IMAGE, training_work
from fig.methods.table import METHODS
from fig.networks.building import build
from fig.networks.table import NETWORKS
from fig.rates import RESNET18, SMALLER, TABLE, Device, choose_device, interpolate, read_rates
from fig.runtime.cluster import run_on_workers
from fig.runtime.record import Origin, Record, Times
from fig.settings import Resources
from fig.study import Config, Discriminator, read_config
from fig.work import FORWARD, Load, area_of

ROOT = Path(__file__).parents[1]
ONE = Resources()
EPYC = Device("cpu", "AMD EPYC, AVX2")
LOAD = Load("resnet18", 1.0, "float32")


def name_nothing() -> str:
    """The name of a machine of which nothing is known."""
    return ""


def read_study(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A study in a folder where no data is prepared: every training set counts as many images as CIFAR10's."""
    monkeypatch.chdir(folder)
    archives = folder / "data" / "archives"  # of cifar10-small, which reading it looks for
    archives.mkdir(parents=True)
    for archive in ("cifar10-jpeg.tar.xz", "tiny-imagenet-test-jpeg.tar.xz"):
        (archives / archive).touch()
    return read_config([ROOT / "config" / f"{name}.yaml"])


@pytest.mark.parametrize(
    ("variant", "seconds"),  # docs/results/cifar10-small.md, one core of an AMD EPYC; docs/results/performance.md
    [("standard", 28.5 * 60), ("fig", 298), ("fig-k0", 2.5 * 60), ("fig-t100", 1268)],
)
def test_estimates_are_within_a_factor_of_one_and_a_half_of_the_timed_trainings(
    variant: str, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = read_study("cifar10-small", tmp_path, monkeypatch)
    work = training_work(config, Discriminator("cifar10-jpeg", "resnet18", variant, 0))
    assert 1 / 1.5 < EPYC.seconds(work) / seconds < 1.5


def test_a_resnet18_takes_an_a100_the_seven_minutes_that_are_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paper = read_study("paper", tmp_path, monkeypatch)
    paper = replace(paper, pretraining=replace(paper.pretraining, precision="float16"))  # as it was published
    work = training_work(paper, Discriminator("cifar10", "resnet18", "standard", 0))
    assert 1 / 1.5 < Device("gpu", "NVIDIA A100-SXM4-80GB").seconds(work) / (7 * 60) < 1.5


def test_arithmetic_carries_a_published_rate_from_resnet50_to_resnet18():
    images = 2470  # a second, of ResNet50 on an A100 in 16 bits: NVIDIA/DeepLearningExamples, ResNet50 v1.5
    assert 1 / 1.5 < images * SMALLER / RESNET18 < 1.5


def test_every_rate_says_how_it_is_known():
    for rate in (rate for rates in TABLE.values() for rate in rates):
        kind, _, source = rate.source.partition(": ")
        assert kind in ("measured", "published", "derived") and source and rate.images > 0


def count_flops(network: nn.Module, size: int, backward: bool) -> float:
    """Floating-point operations of an image forward, or forward and back; on no device: nothing is computed."""
    network, image = network.to("meta"), torch.zeros(1, 3, size, size, device="meta")
    with FlopCounterMode(display=False) as counter:
        logits: Tensor = network.eval()(image)
        if backward:
            logits.sum().backward()
    return float(counter.get_total_flops())


def test_training_is_three_forward_passes_and_resnet50_takes_as_much_more_as_the_table_says():
    forward, whole = (count_flops(build("resnet18", 10, 32), 32, backward) for backward in (False, True))
    assert forward / whole == pytest.approx(FORWARD, rel=0.01)
    resnet50 = count_flops(torchvision.models.resnet50(), 224, backward=True)
    assert resnet50 / whole == pytest.approx(SMALLER, rel=0.01)


@pytest.mark.parametrize("name", NETWORKS)
def test_arithmetic_grows_with_the_area_that_a_network_works_on(name: str):
    small, large = (count_flops(build(name, 10, size), size, backward=False) for size in (32, 224))
    rounding = {"airbench": 0.25}.get(name, 0.1)  # pooling drops a row of 31, 15 and 7 pixels
    assert large / small == pytest.approx(area_of(name, 224), rel=rounding)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_and_what_an_image_leaves_for_the_backward_pass_are_as_large_as_stated(name: str):
    network, kept = build(name, 10, 32), {}
    state = network.state_dict().values()
    assert sum(each.nbytes for each in state) / 1e6 == pytest.approx(NETWORKS[name].megabytes, rel=0.1)
    weights = {each.data_ptr() for each in network.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(torch.zeros(2, 3, 32, 32))
    assert sum(kept.values()) / 2 < MB_OF_AN_IMAGE * 1e6


def test_rates_at_other_widths_lie_between_and_do_not_grow_without_end():
    points = {1.0: 20.0, 0.25: 320.0}
    assert [interpolate(points, width) for width in points] == pytest.approx([20, 320])
    assert interpolate(points, 0.5) == pytest.approx(80)
    assert interpolate(points, 0.01) == 320 and interpolate(points, 2) == pytest.approx(5)


def test_a_device_is_found_by_its_full_name_and_a_precision_without_a_rate_is_the_slowest():
    pcie, sxm = (Device("gpu", f"NVIDIA H100 {name}").rate(LOAD).images for name in ("PCIe", "80GB HBM3"))
    assert pcie < sxm
    assert Device("gpu", "Tesla V100-SXM2-16GB").rate(LOAD._replace(precision="bfloat16")).images < sxm / 4
    assert EPYC.rate(LOAD._replace(network="of-your-own")).images == EPYC.rate(LOAD).images


@pytest.mark.parametrize("changed", [{"network": "of-your-own"}, {"precision": "float16"}, {"width": 0.5}])
def test_a_rate_without_a_row_of_its_own_does_not_call_itself_measured(changed: dict):
    assert EPYC.rate(LOAD).source.startswith("measured: ")
    assert EPYC.rate(LOAD._replace(**changed)).source.startswith("derived: from AMD EPYC, AVX2, ")


def finish_training(
    folder: Path, method: str = "standard", seconds: float = 10, resources: Resources = ONE, precision: str = "float32"
) -> Path:
    """A discriminator's folder that says a training of 1,000 images at full width took so long on a device."""
    folder.mkdir()
    training = {"iterations": 10, "batch_size": 100, "epochs": 0, "precision": precision}
    settings = asdict(METHODS[method].settings())
    card = {"id_dataset": "none", "architecture": {"network": "resnet18", "width": 1.0, "size": 32}}
    card |= {"settings": {"training": training, "method": settings}}
    (folder / "discriminator.json").write_text(json.dumps(card))
    device = "NVIDIA H100 80GB HBM3" if resources.gpus_per_worker else "AMD EPYC, AVX2"
    times = Times(started=1000.0, work=seconds, device=device)
    (folder / "history.csv").write_text("iteration,time\n10,1005.0\n")
    record = Record(Origin("pretrain", "code", {"method": method}, {}), "", {"resources": asdict(resources)}, times)
    record.write(folder / "training.record.json")
    return folder


def test_the_measured_rate_allows_for_what_a_method_costs(tmp_path: Path):
    ad, jcl = METHODS["adversarial"].cost, METHODS["jcl"].cost + METHODS["jcl"].cost_beside
    times = {"standard": 10, "adversarial": 10 * ad, "jcl": 10 * jcl, "fig": 10 * (1.1 + 0.1 * 18 * 2 / 3)}
    folders = [finish_training(tmp_path / method, method, seconds) for method, seconds in times.items()]
    assert [read_rates([folder], "cpu")[0].images for folder in folders] == pytest.approx([100] * 4)


def test_a_rate_is_that_of_one_worker_on_its_own_kind_of_device(tmp_path: Path):
    folder = finish_training(tmp_path / "one", resources=Resources(workers=4, gpus_per_worker=1))
    assert [rate.images for rate in read_rates([folder], "gpu")] == pytest.approx([25])
    assert not read_rates([folder], "cpu")


def test_a_training_that_an_earlier_attempt_began_or_of_two_precisions_tells_no_rate(tmp_path: Path):
    resumed = finish_training(tmp_path / "resumed")
    (resumed / "history.csv").write_text("iteration,time\n5,900.0\n10,1005.0\n")
    mixed = finish_training(tmp_path / "mixed", "fig", precision="bfloat16")  # its samples are drawn in float32
    assert not read_rates([resumed, mixed], "cpu")


def test_own_trainings_override_the_table_on_their_device_and_in_their_precision(tmp_path: Path):
    folder = finish_training(tmp_path / "one", resources=Resources(gpus_per_worker=1))
    own = choose_device("gpu", "", [folder], name_nothing)
    assert own.name == "NVIDIA H100 80GB HBM3"
    stated, found = Device("gpu", own.name), own.rate(LOAD)
    assert found.images == pytest.approx(100) and found.source == "measured: the median of 1 training here"
    vgg19, low = LOAD._replace(network="vgg19"), LOAD._replace(precision="float16")
    corrected = own.rate(vgg19)
    assert corrected.images / stated.rate(vgg19).images == pytest.approx(100 / stated.rate(LOAD).images)
    assert corrected.source.startswith("derived") and own.rate(low) == stated.rate(low)
    assert choose_device("gpu", "A100", [folder], name_nothing).rate(LOAD) == Device("gpu", "A100").rate(LOAD)


def test_a_device_without_a_rate_is_refused_and_no_name_is_the_slowest(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no rate is known of 'Z9'\. Available: V100, A100, H100 PCIe"):
        choose_device("gpu", "Z9", [], name_nothing)
    assert choose_device("gpu", "", [], name_nothing).name == "V100"


def test_without_trainings_a_plan_is_for_the_machine_that_makes_it_if_its_rate_is_known(tmp_path: Path):
    here = "NVIDIA A100-SXM4-80GB"
    assert choose_device("gpu", "", [], lambda: here).name == here
    assert choose_device("gpu", "", [], lambda: "AMD EPYC, AVX2").name == "V100"  # a login node without a GPU
    folder = finish_training(tmp_path / "one", resources=Resources(gpus_per_worker=1))
    assert choose_device("gpu", "", [folder], lambda: here).name == "NVIDIA H100 80GB HBM3"


def test_the_times_of_a_job_name_what_it_computed_on():
    times = Times()
    run_on_workers(abs, 0, Resources(workers=0), times)
    assert torch.backends.cpu.get_cpu_capability() in times.device
