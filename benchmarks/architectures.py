"""FIG and its detectors on networks of timm, torchvision and transformers: time, confidence before and after, reasons.

Each network is trained briefly from random weights, then fine-tuned with FIG. A row takes minutes and is saved in a
folder, so that an interrupted run continues with the next row.

Example: python benchmarks/architectures.py --output architectures
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from math import isnan, nan
from pathlib import Path
from statistics import median
from typing import Annotated

import cyclopts
import numpy as np
import torch
from cyclopts import Parameter
from digits import load_digits
from ratios import Count, Device, print_cells, print_machine, print_table, spend
from torch import nn

from fig.data.arrays import Split, open_split
from fig.data.batches import labels_of
from fig.detectors.protocol import Detector
from fig.detectors.table import build_detector
from fig.discriminator import Architecture, Discriminator
from fig.evaluation import fit_detectors, looked_at, score_split
from fig.files import replacing
from fig.frozen import frozen
from fig.methods.protocol import Method
from fig.methods.standard import Standard
from fig.methods.table import build_method
from fig.networks.outputs import as_logits
from fig.sampler import sample
from fig.seeding import generator
from fig.settings import Augmentation, EvaluationSettings, SamplerSettings, TrainingSettings
from fig.training import DivergedError, players_of, train

DETECTORS = {  # with settings that make them quick
    "baseline": {},
    "odin": {"temperatures": [1000], "magnitudes": [0, 0.002]},
    "mahalanobis": {"magnitudes": [0, 0.01]},
    "residual_flow": {"magnitudes": [0.01], "epochs": 2, "couplings": 2, "hidden": 0.1},
    "gram": {"orders": [1, 2]},
    "KNN": {"detector": "pytorch_ood.detector.KNN", "arguments": {"k": 3}},
    "ViM": {"detector": "pytorch_ood.detector.ViM", "arguments": {"d": 8}},
}
HEAD = (
    "network",
    "pixels",
    "parameters",
    "seconds a sample",
    "seconds an iteration",
    "accuracy, before → after FIG",
    "confidence on own samples, before → after",
    "detectors that work",
)
SOME = EvaluationSettings(images=100, training_images=200)  # that detectors are fitted to, and score


@dataclass(frozen=True)
class Entry:
    """A network by its factory."""

    factory: str
    arguments: dict = field(default_factory=dict)
    size: int = 32
    scale: float = 1.0  # of iterations, batch and samples: large images take long


SWIN = "swin_tiny_patch4_window7_224"
ENTRIES = {
    "timm resnet18, a quarter of its channels": Entry(
        "timm:create_model", {"model_name": "resnet18", "channels": [16, 32, 64, 128]}
    ),
    "timm test_convnext": Entry("timm:create_model", {"model_name": "test_convnext", "patch_size": 2}),
    "timm test_efficientnet": Entry("timm:create_model", {"model_name": "test_efficientnet"}),
    "timm mobilenetv3_small_050": Entry("timm:create_model", {"model_name": "mobilenetv3_small_050"}),
    "timm regnetx_002": Entry("timm:create_model", {"model_name": "regnetx_002"}),
    "timm test_vit": Entry("timm:create_model", {"model_name": "test_vit", "img_size": 32, "patch_size": 4}),
    "timm test_vit, 224²": Entry("timm:create_model", {"model_name": "test_vit", "img_size": 224}, 224, 0.25),
    "timm swin, two stages": Entry(
        "timm:create_model",
        {"model_name": SWIN, "img_size": 32, "patch_size": 2, "window_size": 4, "embed_dim": 32}
        | {"depths": [2, 2], "num_heads": [2, 4]},
    ),
    "timm swin, 224²": Entry(
        "timm:create_model",
        {"model_name": SWIN, "embed_dim": 24, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 8]},
        224,
        0.25,
    ),
    "torchvision resnet18": Entry("torchvision.models:resnet18"),
    "torchvision densenet, 26 layers": Entry(
        "torchvision.models:DenseNet", {"growth_rate": 12, "block_config": [3, 3, 3, 3], "num_init_features": 24}
    ),
    "transformers ResNet": Entry(
        "architectures:of_transformers",
        {"kind": "ResNet", "embedding_size": 16, "hidden_sizes": [16, 32, 64, 128], "depths": [1, 1, 1, 1]}
        | {"layer_type": "basic"},
    ),
    "transformers ViT": Entry(
        "architectures:of_transformers",
        {"kind": "ViT", "image_size": 32, "patch_size": 4, "hidden_size": 64, "num_hidden_layers": 4}
        | {"num_attention_heads": 4, "intermediate_size": 128},
    ),
}


@dataclass(frozen=True)
class Row:
    """What was measured of a network."""

    size: int  # pixels a side
    parameters: int
    accuracy: tuple[float, float]  # on test images, before and after FIG
    confidence: tuple[float, float]  # mean on the network's own samples, likewise
    sampling: float  # CPU seconds of a sample, or on a GPU by the clock; of a batch of them
    iteration: float  # seconds of an iteration of FIG, likewise; the median
    works: tuple[str, ...]  # detectors
    refused: dict[str, str]  # detectors, or FIG itself, with their reasons


def of_transformers(kind: str, num_classes: int, **settings: object) -> nn.Module:
    """An image classifier of transformers with random weights."""
    import transformers

    config = getattr(transformers, f"{kind}Config")(num_labels=num_classes, **settings)
    model: nn.Module = getattr(transformers, f"{kind}ForImageClassification")(config)
    return as_logits(model, torch.zeros(1, 3, 32, 32))


def enlarge(data: Split, size: int) -> Split:
    """The images with each pixel repeated, so that they are `size` pixels a side."""
    times = size // data.images.shape[1]
    return replace(data, images=np.asarray(data.images).repeat(times, 1).repeat(times, 2)) if times > 1 else data


def time_training(discriminator: Discriminator, data: Split, method: Method, settings: TrainingSettings) -> list[float]:
    """Train; the seconds of each iteration, of a core or on a GPU by the clock."""
    players = players_of(discriminator, method, settings, seed=0)
    augmentation = Augmentation(discriminator.architecture.size)
    steps = train(discriminator, players, data, method, settings, augmentation, seed=0)
    return [seconds_of(lambda: next(steps), discriminator) for _ in range(settings.iterations)]


def seconds_of(work: Callable[[], object], discriminator: Discriminator) -> float:
    """The seconds of a piece of work, of a core or on a GPU by the clock."""
    spent = spend(work)
    return spent.core if discriminator.device.type == "cpu" else spent.seconds


def accuracy_on(discriminator: Discriminator, data: Split) -> float:
    """The share of a split's images whose class is predicted; the discriminator is held frozen."""
    with frozen(discriminator):
        logits = score_split({}, {}, discriminator, data).logits
    return (logits.argmax(1) == labels_of(data)).float().mean().item()


def judge(discriminator: Discriminator, train_data: Split, test: Split) -> tuple[tuple[str, ...], dict[str, str]]:
    """Detectors that judge the network, which their finite scores show, and the reasons of the others."""
    works: list[str] = []
    refused: dict[str, str] = {}
    with frozen(discriminator):
        for name, stated in DETECTORS.items():
            detector: dict[str, Detector] = {name: build_detector(name, stated)}
            try:
                looked_at(detector, discriminator)
                score_split(
                    detector, fit_detectors(detector, discriminator, train_data, 0, SOME), discriminator, test, SOME
                )
                works.append(name)
            except ValueError as error:
                refused[name] = str(error).partition(": ")[2]
    return tuple(works), refused


def measure(
    entry: Entry, train_data: Split, test: Split, iterations: int, finetuning: int, count: int, device: str
) -> Row:
    """Train a network, fine-tune it with FIG, and see what has changed."""
    train_data, test = enlarge(train_data, entry.size), enlarge(test, entry.size)
    classes = len(train_data.description.classes)
    arguments = entry.arguments | {"num_classes": classes}
    architecture = Architecture("own", classes, entry.size, factory=entry.factory, arguments=arguments)
    discriminator = Discriminator(architecture).to(device)
    batch, count = (max(2, round(number * entry.scale)) for number in (64, count))
    lengths = [max(1, round(number * entry.scale)) for number in (iterations, finetuning)]
    pretraining, tuning = (
        TrainingSettings(rate, iterations=length, batch_size=batch)
        for rate, length in zip((0.02, 0.001), lengths, strict=True)
    )

    def draw() -> tuple[float, float]:
        noise = generator(0, "samples", device=torch.device(device))
        drawn: list[float] = []
        work = lambda: drawn.append(  # noqa: E731
            sample(discriminator.network, count, discriminator.shape, SamplerSettings(), noise).confidence.mean().item()
        )
        return seconds_of(work, discriminator) / count, drawn[0]

    time_training(discriminator, train_data, Standard(), pretraining)
    before, (sampling, confident) = accuracy_on(discriminator, test), draw()
    works, refused = judge(discriminator, train_data, test)
    seconds, ended = [], ""
    try:
        seconds = time_training(discriminator, train_data, build_method("fig", {}), tuning)
    except (FloatingPointError, DivergedError) as error:
        ended = str(error)
    return Row(
        size=entry.size,
        parameters=sum(weight.numel() for weight in discriminator.parameters()),
        accuracy=(before, nan if ended else accuracy_on(discriminator, test)),
        confidence=(confident, nan if ended else draw()[1]),
        sampling=sampling,
        iteration=median(seconds or [nan]),
        works=works,
        refused=refused | ({"FIG": ended} if ended else {}),
    )


def load_row(path: Path) -> Row | None:
    """A row that was measured before, if it was."""
    return Row(**json.loads(path.read_text())) if path.exists() else None


def write(value: float, form: str) -> str:
    """Return a number as text, or a dash for NaN."""
    return "–" if isnan(value) else format(value, form)  # noqa: RUF001


def main(
    *names: Annotated[str, Parameter(help="Networks, by the beginnings of their names; all where none is named.")],
    output: Annotated[Path, Parameter(help="Folder that keeps the rows.")],
    data: Annotated[
        Path | None, Parameter(help="Prepared training split, train.npy next to test.npy; the digits.")
    ] = None,
    iterations: Annotated[Count, Parameter(help="Iterations of standard training, at 32² pixels.")] = 300,
    finetuning: Annotated[Count, Parameter(help="Iterations of FIG, at 32² pixels.")] = 300,
    count: Annotated[Count, Parameter(help="Samples, at 32² pixels.")] = 64,
    device: Device = "cpu",
) -> None:
    """Print a table of all rows, measuring those that are not there yet."""
    print_machine(device)
    train_data, test = (
        (open_split(data), open_split(data.with_name("test.npy"))) if data else (load_digits(), load_digits("test"))
    )
    output.mkdir(parents=True, exist_ok=True)
    print_table(HEAD)
    reasons = {}
    for name in [name for name in ENTRIES if not names or name.startswith(names)]:
        path = output / f"{name.replace(' ', '-')}.json"
        row = load_row(path)
        if row is None:
            row = measure(ENTRIES[name], train_data, test, iterations, finetuning, count, device)
            with replacing(path) as partial:
                partial.write_text(json.dumps(asdict(row), indent=2) + "\n")
        reasons |= {(name, detector): reason for detector, reason in row.refused.items()}
        arrows = [" → ".join(write(share, ".1%") for share in pair) for pair in (row.accuracy, row.confidence)]
        times = [write(row.sampling, ".3f"), write(row.iteration, ".2f")]
        print_cells(name, f"{row.size}²", f"{row.parameters / 1e6:.2f} M", *times, *arrows, ", ".join(row.works))
    if reasons:
        print()
        print_table(["network", "not possible", "reason"], [(*what, reason) for what, reason in reasons.items()])


if __name__ == "__main__":
    cyclopts.run(main)
