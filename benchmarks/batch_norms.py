"""What fine-tuned discriminators gain where the statistics of their batch norms are computed again from ID images.

Outliers that share batches with ID images leave their mark in running statistics. All weights stay as they are. The
folder holds the variants of an ID data set and network; gains are those over `standard`, as it was trained.

Example: python benchmarks/batch_norms.py results/cifar10/discriminators/cifar10-jpeg/resnet18 --variants gaussian fig
    --seeds 0 1 2 --train data/32/cifar10-jpeg/train.npy --id-images data/32/cifar10-jpeg/test.npy
    --ood-images data/32/tinyimagenet-jpeg-r-antialias/test.npy
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import cyclopts
import pandas as pd
import torch
from cyclopts import Parameter
from ratios import Count, Device, print_machine, print_table
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from tqdm import tqdm

from fig.data.arrays import Split, open_split
from fig.data.augment import augment
from fig.data.batches import images_on, labels_of
from fig.discriminator import Discriminator, load
from fig.energy import confidence
from fig.evaluation import some
from fig.metrics import auroc
from fig.report.statistics import interval_over_seeds
from fig.report.tables import format_interval, format_points
from fig.seeding import generator
from fig.settings import Augmentation

STANDARD = "standard"
TRAINED, AGAIN = "as trained", "computed again"
COLUMNS = ["variant", "seed", "statistics", "measure", "value"]
BATCH = 250
Several = Parameter(consume_multiple=True, negative=())


def compute_again(discriminator: Discriminator, train: Split, count: int, augmentation: Augmentation) -> None:
    """Replace the running statistics of all batch norms by those of `count` augmented training images."""
    rows = some(len(train.images), count)
    order = torch.randperm(len(rows), generator=generator(0, "order"))
    batches = (
        discriminator.scaled(
            augment(images_on(discriminator.device, train, part), augmentation, generator(0, "crops", place))
        )
        for place, part in enumerate(rows[order].split(BATCH))
    )
    update_bn(batches, discriminator.network)


def see(network: nn.Module, images: Tensor) -> Tensor:
    """Return the logits of images: (N, C)."""
    with torch.no_grad():
        return torch.cat([network(part).cpu() for part in images.split(BATCH)])


def measure(discriminator: Discriminator, id_split: Split, ood: dict[str, Split], count: int) -> dict[str, float]:
    """Measure the accuracy and, under maximum softmax, the AUROC against each OOD set: shares of one."""
    network, found, sure = discriminator.network, {}, {}
    for name, split in {"": id_split, **ood}.items():
        rows = some(len(split.images), count)
        logits = see(network, discriminator.scaled(images_on(discriminator.device, split, rows)))
        sure[name] = confidence(logits).numpy()
        if not name:
            found["accuracy"] = float((logits.argmax(dim=1) == labels_of(split)[rows]).double().mean())
    return found | {name: auroc(sure[""], each) for name, each in sure.items() if name}


def list_gains(values: pd.DataFrame) -> Iterator[list[str]]:
    """Yield rows of a table: each variant's gains over the standard network as trained, paired by seed."""
    shaped = values.pivot(index=["variant", "statistics", "seed"], columns="measure", values="value")
    measures = list(dict.fromkeys(values["measure"]))
    base = shaped.loc[STANDARD, TRAINED][measures]
    for variant, statistics in dict.fromkeys(zip(values["variant"], values["statistics"], strict=True)):
        if (variant, statistics) != (STANDARD, TRAINED):
            gains = shaped.loc[variant, statistics][measures] - base
            cells = [f"{format_points(each.mean())} ({span(each)})" for _, each in gains.items()]
            yield [f"`{variant}`", statistics, *cells]
        else:
            yield [f"`{variant}`", statistics, *(f"{100 * each.mean():.1f}" for _, each in base.items())]


def span(gains: pd.Series) -> str:
    """Write the interval of gains over seeds."""
    return format_interval(*interval_over_seeds(gains.to_numpy())) or "one seed"


def main(
    folder: Path,
    *,
    variants: Annotated[list[str], Several],
    seeds: Annotated[list[int], Several],
    train: Annotated[Path, Parameter(help="The prepared split of training images (.npy).")],
    id_images: Annotated[Path, Parameter(help="A prepared split of ID test images.")],
    ood_images: Annotated[list[Path], Several],
    padding: Annotated[int, Parameter(help="Of training images, as they were trained, in pixels.")] = 2,
    count: Annotated[Count, Parameter(help="Images of each set.")] = 5000,
    device: Device = "cpu",
    output: Annotated[Path | None, Parameter(help="A CSV file for every value of every seed.")] = None,
) -> None:
    """Print values of the standard network, then gains over it, in points of per cent with 95 % intervals."""
    print_machine(device)
    train_split, id_split = open_split(train), open_split(id_images)
    ood = {path.parent.name: open_split(path) for path in ood_images}
    rows: list[tuple[str, int, str, str, float]] = []
    places = [(variant, seed) for variant in (STANDARD, *variants) for seed in seeds]
    for variant, seed in tqdm(places, unit="discriminator", disable=None):
        discriminator = load(folder / variant / str(seed)).to(device)
        augmentation = Augmentation(discriminator.architecture.size, padding, flip=True)
        for statistics in (TRAINED, AGAIN):
            if statistics == AGAIN:
                compute_again(discriminator, train_split, count, augmentation)
            discriminator.eval()
            found = measure(discriminator, id_split, ood, count)
            rows += [(variant, seed, statistics, name, value) for name, value in found.items()]
    values = pd.DataFrame(rows, columns=COLUMNS)
    print_table(["variant", "statistics", *dict.fromkeys(values["measure"])], list(list_gains(values)))
    if output:
        values.to_csv(output, index=False, float_format="%.6g", lineterminator="\n")


if __name__ == "__main__":
    cyclopts.run(main)
