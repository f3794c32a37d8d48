"""A discriminator's model card: what it is, how it was trained, what it is worth, how to load it, and its limits."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import binomtest

from fig.discriminator import Card
from fig.intact import read_rows, read_scores
from fig.settings import flatten

ID_SCORES = "scores/baseline.npz"
SHOWN = 20  # names of classes, at most
LIMITS = """\
- A score ranks images; it is no probability. A threshold accepts its share only of images like the ID test images.
- OOD images of other kinds than those in the table may score otherwise.
- Images are resized before they come here; scores depend on how.
- Nothing is known of images that somebody made to deceive it."""


@dataclass(frozen=True)
class Result:
    """A number of the evaluation with its 95 % interval, by bootstrap over images or, of an accuracy, by Wilson."""

    metric: str
    value: float
    data: str
    detector: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """As in the table: per cent, with the interval where it is known."""
        interval = "" if self.low is None or self.high is None else f" [{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"{100 * self.value:.1f}{interval}"


def read_results(folder: Path, card: Card) -> list[Result]:
    """Accuracy, calibration error, AUROC and FPR95 of the card's weights; none where they were not evaluated.

    Of a detector with settings those count that ID images alone choose.
    """
    path = folder / "metrics.csv"
    if not path.exists():
        return []
    known = read_rows(path, ["value"], ["key", "protocol", "detector", "ood_dataset", "metric"])
    rows = [row for row in known if row["key"] == card.key and row["protocol"] in ("", "id-only")]
    values = {(row["detector"], row["ood_dataset"], row["metric"]): float(row["value"]) for row in rows}
    found = []
    for (detector, ood, metric), value in values.items():
        if metric == "auroc":
            low, high = (values.get((detector, ood, f"auroc_{end}")) for end in ("low", "high"))
            found.append(Result(metric, value, ood, detector, low, high))
        elif metric == "fpr95_id_positive":
            found.append(Result(metric, value, ood, detector))
        elif metric in ("accuracy", "calibration_error"):
            interval = interval_of(value, count_id_images(folder)) if metric == "accuracy" else (None, None)
            found.append(Result(metric, value, card.id_dataset, "", *interval))
    return found


def count_id_images(folder: Path) -> int:
    """How many ID test images were scored; 0 where that is not known."""
    path = folder / ID_SCORES
    if not path.exists():
        return 0
    return len(read_scores(path)["id"])


def interval_of(share: float, count: int) -> tuple[float, float] | tuple[None, None]:
    """Wilson's 95 % interval of a share of `count` images; none of no images."""
    if not count:
        return None, None
    found = binomtest(round(share * count), count).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def write_text(card: Card, results: list[Result], repository: str) -> str:
    """The card's text in Markdown, without its front matter; `repository` is what `from_pretrained` is given."""
    parts = {
        f"{card.variant or 'classifier'} of {card.architecture.network}": "\n\n".join(describe(card)),
        "How it was trained": "\n".join(list_training(card)) or "Nothing is known about that.",
        "What it is worth": "\n".join(list_results(results)) or "It was not evaluated.",
        "How to load it": load_lines(card, repository),
        "Limits": LIMITS,
    }
    headed = [f"{'#' if place == 0 else '##'} {title}\n\n{text}" for place, (title, text) in enumerate(parts.items())]
    return "\n\n".join(headed) + "\n"


LOAD = """\
`pip install 'fig-ood[hub]'`, then

```python
import torch
from fig.discriminator import Discriminator

discriminator = Discriminator.from_pretrained("{repository}"{trust})
images = torch.zeros(1, 3, {size}, {size}, dtype=torch.uint8)  # RGB from 0 to 255: the scaling is part of it
print(discriminator(images).softmax(dim=1))
```"""


def load_lines(card: Card, repository: str) -> str:
    """How to load it, with the leave to run its factory where it has one."""
    trust = ", trust_factory=True" if card.architecture.factory else ""
    return LOAD.format(repository=repository, size=card.architecture.size, trust=trust)


def describe(card: Card) -> Iterator[str]:
    """What it is, a paragraph each."""
    built, names = card.architecture, card.class_names
    on = f" on {card.id_dataset}" if card.id_dataset else ""
    yield (
        f"A classifier of images of {built.size} x {built.size} pixels into {built.classes} classes, trained{on}. How "
        "far an image is in-distribution (ID) it says by the score log p / (1 - p) of its largest class probability p, "
        "which is to be lower for out-of-distribution (OOD) images."
    )
    if names:
        yield f"Classes: {', '.join(names[:SHOWN])}{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}."
    if built.factory:
        made = f"Its network is made by `{built.factory}`, which must be importable where it is loaded"
        yield f"{made}, and runs there: state `trust_factory=True` if you trust it."


def list_training(card: Card) -> Iterator[str]:
    """Settings, seed and versions, a line each."""
    if card.variant:
        yield f"- variant `{card.variant}`, seed {card.seed}"
    stage = card.provenance.get("made_of", {}).get("stage")
    if stage:
        yield f"- by the stage `{stage}` of FIG"
    for name, value in flatten(card.settings):
        yield f"- `{name}`: {value}"
    versions = card.provenance.get("versions", {})
    if versions:
        yield f"- {', '.join(f'{name} {number}' for name, number in versions.items())}"


def list_results(results: list[Result]) -> Iterator[str]:
    """The results as a table, then how to read it."""
    if not results:
        return
    fpr = {(each.detector, each.data): each.text for each in results if each.metric == "fpr95_id_positive"}
    for each in results:
        if each.metric in ("accuracy", "calibration_error"):
            yield f"- {each.metric.replace('_', ' ')} on the test images of {each.data}: {each.text} %"
    yield "\n| detector | OOD images | AUROC, % | FPR95, % |\n|---|---|---|---|"
    for each in results:
        if each.metric == "auroc":
            known = fpr.get((each.detector, each.data), "")
            yield f"| {each.detector} | {each.data} | {each.text} | {known} |"
    yield (
        "\nIn brackets are 95 % intervals over images. They say nothing about other seeds: this is one network. FPR95 "
        "is the share of OOD images accepted where 95 % of the ID images are."
    )
