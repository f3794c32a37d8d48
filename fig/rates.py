"""How many images a second a device trains a network on, from a table with sources and from your own trainings.

An image has 32 x 32 pixels. `python benchmarks/rates.py` measures a device's rows.
"""

import csv
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import exp, log
from pathlib import Path
from statistics import median
from typing import Literal

from fig.intact import read_object
from fig.runtime.record import read_record
from fig.settings import Json, Precision, Resources, suggest
from fig.work import Load, Work, images_in, trained_on, work_of_training

Kind = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class Rate:
    """Images a second that a worker trains a network on, and the source of the number."""

    device: str  # its name or, in the table, a part of its name
    load: Load
    images: float
    source: str  # begins with "measured", "published" or "derived"


FLOAT32: tuple[Precision, ...] = ("float32", "tf32")  # where the hardware has no TF32
BITS16: tuple[Precision, ...] = ("float16", "bfloat16")
CORES: dict[str, dict[tuple[Precision, ...], dict[str, dict[float, float]]]] = {  # images a second by network and width
    "AMD EPYC, AVX2": {
        FLOAT32: {
            "resnet18": {1.0: 19.7, 0.25: 280.9, 0.125: 830.5},
            "vgg19": {1.0: 27.9, 0.25: 371.5, 0.125: 1138.4},
            "shufflenetv2": {1.0: 111.9, 0.25: 486.2, 0.125: 760.6},
            "densenet100": {1.0: 13.9, 0.25: 91.6, 0.125: 136.1},
            "airbench": {1.0: 100.5, 0.25: 1076.3, 0.125: 2409.6},
        },
        ("bfloat16",): {
            "resnet18": {1.0: 1.6, 0.25: 25.3, 0.125: 79.9},
            "vgg19": {0.25: 36.5, 0.125: 126.9},
            "shufflenetv2": {0.25: 65.1, 0.125: 140.4},
            "densenet100": {0.25: 19.7, 0.125: 33.7},
            "airbench": {0.25: 104.9, 0.125: 256.3},
        },
    },
    "AMD EPYC, AVX512": {  # with avx512_bf16
        FLOAT32: {
            "resnet18": {1.0: 26.3, 0.25: 359.4, 0.125: 866.0},
            "vgg19": {1.0: 39.9, 0.25: 581.3, 0.125: 1509.3},
            "shufflenetv2": {1.0: 117.7, 0.25: 625.9, 0.125: 970.7},
            "densenet100": {1.0: 19.0, 0.25: 104.7, 0.125: 164.6},
            "airbench": {1.0: 158.6, 0.25: 1485.5, 0.125: 2478.3},
        },
        ("bfloat16",): {
            "resnet18": {1.0: 57.0, 0.25: 547.4, 0.125: 1050.2},
            "vgg19": {1.0: 80.6, 0.25: 939.9, 0.125: 1913.4},
            "shufflenetv2": {1.0: 105.5, 0.25: 410.1, 0.125: 661.2},
            "densenet100": {1.0: 27.8, 0.25: 116.2, 0.125: 155.8},
            "airbench": {1.0: 282.6, 0.25: 2205.6, 0.125: 3372.9},
        },
    },
}
CORE = CORES["AMD EPYC, AVX2"][FLOAT32]  # by which the other networks' rates on GPUs are derived
HERE = "measured: benchmarks/rates.py, seconds of a core of a shared machine, torch 2.15, 2026-11-28 to 2026-12-01"
CPUS = tuple(
    Rate(device, Load(network, width, precision), images, HERE)
    for device, of_device in CORES.items()
    for precisions, measured in of_device.items()
    for precision in precisions
    for network, widths in measured.items()
    for width, images in widths.items()
)

# Published are trainings of ResNet50 on 224 x 224 pixels, and one of ResNet18. Images a second are taken to be inverse
# to the arithmetic: 24.3 and 3.33 GFLOP to train on an image, counted by torch. Where both were timed, on an A100 in 16
# bits, ResNet18 was 1.28 times as fast as follows from ResNet50 (2,470 images a second).
SMALLER = 24.30 / 3.329
RESNET18 = 32.3e6 / 3.329 / 420  # images a second: 32.3 PFLOP in 7 minutes
NVIDIA = "NVIDIA/DeepLearningExamples, ResNet50 v1.5"
LAMBDA = "lambdal/deeplearning-benchmark, PyTorch"
AIRBENCH = "KellerJordan/cifar10-airbench"
GPUS_RESNET18: tuple[tuple[str, tuple[Precision, ...], float, str], ...] = (
    ("V100", FLOAT32, 367 * SMALLER, f"derived: arithmetic / 367 ResNet50 images a second ({NVIDIA})"),
    ("V100", ("float16",), 1200 * SMALLER, f"derived: arithmetic / 1,200 ResNet50 images a second ({NVIDIA})"),
    ("A100", ("float32",), 367 * SMALLER * 19.5 / 15.7, "derived: a V100's by NVIDIA's data sheets, 19.5/15.7"),
    ("A100", ("tf32",), 1066 * SMALLER, f"derived: arithmetic / 1,066 ResNet50 images a second ({LAMBDA})"),
    ("A100", BITS16, RESNET18, f"published: standard ResNet18 training, 7 minutes ({AIRBENCH})"),
    (
        "H100 PCIe",
        ("float32",),
        367 * SMALLER * 51 / 15.7,
        "derived: a V100's by NVIDIA's data sheets, 51/15.7",
    ),
    ("H100 PCIe", ("tf32",), 1197 * SMALLER, f"derived: arithmetic / 1,197 ResNet50 images a second ({LAMBDA})"),
    ("H100 PCIe", BITS16, RESNET18 * 1866 / 1582, f"derived: an A100's by ResNet50, 1,866/1,582 ({LAMBDA})"),
    ("H100", ("float32",), 367 * SMALLER * 67 / 15.7, "derived: a V100's by NVIDIA's data sheets, 67/15.7"),
    ("H100", ("tf32",), 1893 * SMALLER, f"derived: arithmetic / 1,893 ResNet50 images a second ({LAMBDA})"),
    ("H100", BITS16, RESNET18 * 2776 / 1582, f"derived: an A100's by ResNet50, 2,776/1,582 ({LAMBDA})"),
    ("H200", ("float32",), 367 * SMALLER * 67 / 15.7, "derived: an H100's, whose arithmetic is the same"),
    ("H200", ("tf32",), 1893 * SMALLER, "derived: an H100's, whose arithmetic is the same"),
    ("H200", BITS16, RESNET18 * 2776 / 1582, "derived: an H100's, whose arithmetic is the same"),
)
GPUS = tuple(
    Rate(
        device,
        Load(network, 1.0, precision),
        images * share,
        source if share == 1 else f"derived: {share:.2f} of ResNet18's, as on a core; {source}",
    )
    for device, precisions, images, source in GPUS_RESNET18
    for precision in precisions
    for network, widths in CORE.items()
    for share in [widths[1.0] / CORE["resnet18"][1.0]]
)
TABLE: dict[Kind, tuple[Rate, ...]] = {"cpu": CPUS, "gpu": GPUS}
ANY = Load("resnet18", 1.0, "float32")  # the load by which devices are compared


def interpolate(points: Mapping[float, float], width: float) -> float:
    """Estimate images a second at a width from other widths: linear in the logarithms between two of them.

    Above the widest, time grows with the square of the width, as arithmetic does. Below the narrowest, it stays
    constant, because costs such as a GPU's launch of each operation do not depend on the width.
    """
    widths = sorted(points)
    for low, high in pairwise(widths):
        if low <= width <= high:
            slope = log(points[high] / points[low]) / log(high / low)
            return points[low] * exp(slope * log(width / low))
    return points[widths[0]] if width < widths[0] else points[widths[-1]] * (widths[-1] / width) ** 2


def device_names(kind: Kind) -> list[str]:
    """Return the table's devices of a kind."""
    return list(dict.fromkeys(row.device for row in TABLE[kind]))


def is_known(kind: Kind, name: str) -> bool:
    """Whether the table has a device that is part of this name."""
    return any(each.lower() in name.lower() for each in device_names(kind))


def slowest_device(kind: Kind) -> str:
    """Return the table's slowest device of a kind, which stands for devices of unknown speed."""
    return min((row for row in TABLE[kind] if row.load == ANY), key=lambda row: row.images).device


@cache
def stated_rate(kind: Kind, name: str, load: Load) -> Rate:
    """Return the table's rate of a load on a device; a network that the table lacks gets ResNet18's rate.

    An unknown device gets the rate of the slowest one, an unknown precision the device's slowest rate.
    """
    known = (each for each in device_names(kind) if each.lower() in name.lower())
    device = next(known, slowest_device(kind))
    network = load.network if load.network in CORE else ANY.network
    rows = {row.load: row for row in TABLE[kind] if (row.device, row.load.network) == (device, network)}
    rates = {}
    for precision in {each.precision for each in rows}:
        points = {each.width: row.images for each, row in rows.items() if each.precision == precision}
        rates[precision] = interpolate(points, load.width)
    precision = load.precision if load.precision in rates else min(rates, key=lambda each: rates[each])
    of_it = (row for each, row in rows.items() if each.precision == precision)
    near = min(of_it, key=lambda row: abs(row.load.width - load.width))
    same = near.load == load and device.lower() in name.lower()
    alike = f"derived: from {device}, {network}, width {near.load.width:g}, {precision}; {near.source}"
    return Rate(device, load, rates[precision], near.source if same else alike)


@dataclass(frozen=True)
class Device:
    """A device for trainings: its kind, its name or part of it, and the rates of your trainings on any device."""

    kind: Kind
    name: str
    own: tuple[Rate, ...] = ()

    def trainings(self) -> list[Rate]:
        """Return the rates of your own trainings on this device."""
        return [each for each in self.own if self.name.lower() in each.device.lower()]

    def rate(self, load: Load) -> Rate:
        """Return the rate of a load: the table's, corrected by your trainings on the device in this precision.

        If some of them have the same network and width, only these count.
        """
        stated = stated_rate(self.kind, self.name, load)
        own = [each for each in self.trainings() if each.load.precision == load.precision]
        same = [each for each in own if each.load == load]
        if not own:
            return stated
        factors = [each.images / stated_rate(self.kind, each.device, each.load).images for each in same or own]
        count = f"{len(factors)} training{'s' * (len(factors) > 1)} here"
        source = f"measured: the median of {count}" if same else f"derived: the table, corrected by {count}"
        return Rate(self.name, load, stated.images * median(factors), source)

    def seconds(self, work: Work) -> float:
        """Return the seconds that one worker needs for some work."""
        return sum(images / self.rate(load).images for load, images in work.items())


def kind_of(resources: Resources | Mapping[str, Json]) -> Kind:
    """Return the kind of device on which workers with these resources compute."""
    given = resources if isinstance(resources, Mapping) else vars(resources)
    return "gpu" if given.get("gpus_per_worker") else "cpu"


def read_rates(folders: Iterable[Path], kind: Kind) -> tuple[Rate, ...]:
    """Return the rates of workers of this kind in the trainings in these folders, of any study.

    Folders with a damaged file are skipped.
    """
    found = []
    for folder in folders:
        with suppress(csv.Error, LookupError, TypeError, ValueError):
            found.append(measured_in(folder, kind))
    return tuple(rate for rate in found if rate)


def measured_in(folder: Path, kind: Kind) -> Rate | None:
    """Return the rate of a worker in the training in a folder, from its card and its record.

    None if they do not determine it: they name no device, the training did several kinds of work, or an earlier
    attempt did part of it.
    """
    record = read_record(folder / "training.record.json")
    card, history = folder / "discriminator.json", folder / "history.csv"
    if record is None or not record.times.device or not (card.exists() and history.exists()):
        return None
    if record.origin.stage == "transfer" or began_earlier(history, record.times.started):
        return None
    made, had = read_object(card), record.runtime.get("resources", {})
    settings, architecture = made["settings"], made["architecture"]
    if kind_of(had) != kind or "training" not in settings:
        return None
    size, training = architecture["size"], settings["training"]
    images = trained_on(training, images_in(Path(f"data/{size}/{made['id_dataset']}/train"), 0))
    load = Load(architecture["network"], architecture["width"], training["precision"])
    work = work_of_training(load, size, record.origin.settings["method"], settings["method"], images)
    if list(work) != [load] or not work[load] or record.times.work <= 0:  # no images: the split is not here
        return None
    rate = work[load] / record.times.work / max(1, had.get("workers", 1))
    return Rate(record.times.device, load, rate, f"measured: {folder}")


def began_earlier(history: Path, started: float) -> bool:
    """Whether a training's history begins before its last attempt."""
    with history.open(newline="") as file:
        first = next(csv.DictReader(file), None)
    return first is not None and float(first["time"]) < started


def choose_device(kind: Kind, name: str, folders: Iterable[Path], name_here: Callable[[], str]) -> Device:
    """Return the device of this name.

    Without a name it is that of most trainings in these folders, else the one that `name_here` names if its rate is
    known, else the table's slowest. Raises ValueError if neither the table nor a training knows the name.
    """
    own = read_rates(folders, kind)
    names = [rate.device for rate in own]
    if not name and names:
        name = max(names, key=names.count)
    elif not name:
        here = name_here()
        name = here if is_known(kind, here) else slowest_device(kind)
    device = Device(kind, name, own)
    if not device.trainings() and not is_known(kind, device.name):
        raise ValueError(f"no rate is known of {name!r}{suggest(name, device_names(kind))}")
    return device
