"""A classifier in memory as an OOD detector: fitted to ID images, with a threshold that accepts most of them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from math import ceil, inf
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm.auto import tqdm

from fig.detectors.protocol import Scorer, Seen, SplitScorer, Subject, score_batch
from fig.detectors.table import build_detector
from fig.evaluation import HELD_OUT, MOST_HELD_OUT, ready, see_inputs, taps_of
from fig.export import Decision, Exported, export_network
from fig.feeding import UNLABELLED, Feed, Images, Labels
from fig.frozen import frozen
from fig.memory import halve_until_it_fits
from fig.metrics import threshold
from fig.networks.outputs import as_logits
from fig.networks.taps import Tap
from fig.patching import device_of_model
from fig.precision import computing
from fig.scaling import SYMMETRIC, Scaling, find_scaling, rescale, rescaled
from fig.settings import Json

BATCH = 256  # images in memory that are looked at together
Values = NDArray[np.float64]


@dataclass(frozen=True)
class OodDetector:
    """A fitted detector of a classifier, and the threshold from which on it takes an image for in-distribution.

    It follows the classifier: after a change of its weights make a new one.
    """

    detector: str
    settings: Mapping[str, Json]  # of the detector, as they were stated
    threshold: float
    id_acceptance: float  # share of the ID images that the threshold accepts
    id_scores: Values  # (N,) of the ID images from which the threshold was chosen
    scaling: Scaling
    subject: Subject = field(repr=False)
    scorer: Scorer = field(repr=False)
    taps: Mapping[str, Tap] = field(repr=False)

    def score(self, images: Images, progress: bool = False) -> Values:
        """Scores (N,) of images, higher = more in-distribution; all forms that `fig.feeding.Feed` names are taken."""
        feed = Feed(images, None, self.scaling, self.subject.unit.device)
        parts = []
        with frozen(self.subject.network), computing("float32", feed.device):
            for batch, _ in show(feed, feed.once(BATCH), "scoring", progress):
                for seen in look(self.subject, self.taps, batch):
                    parts.append(score_batch(self.scorer, seen)[:, self.scorer.chosen])
        scores: Values = torch.cat(parts).cpu().numpy() if parts else np.zeros(0)
        if not np.isfinite(scores).all():
            raise ValueError(f"detector {self.detector} gives scores that are not finite for some images")
        return scores

    def accepts(self, images: Images, progress: bool = False) -> NDArray[np.bool_]:
        """Which images it takes for in-distribution (N,): those that score at least the threshold."""
        return np.asarray(self.score(images, progress) >= self.threshold)

    def export(self, out: Path | str) -> Exported:
        """Write classifier, score and verdict as a program for ONNX Runtime and one for PyTorch into the folder `out`.

        The programs take uint8 images (N, channels, h, w) of the size of those that it was fitted to. Raises
        ValueError for a detector that needs more than logits, and what `fig.export.export_network` raises.
        """
        decision = Decision(self.detector, self.threshold, self.id_acceptance, dict(self.settings))
        channels, height, width = self.subject.example.shape[1:]
        return export_network(self.subject.network, Path(out), (channels, height, width), decision)


def detect(
    model: nn.Module,
    images: Images,
    labels: Labels | None = None,
    detector: str = "energy",
    settings: Mapping[str, Json] | None = None,
    *,
    scaling: object = SYMMETRIC,
    id_acceptance: float = 0.95,
    calibration: Images | None = None,
    progress: bool = True,
) -> OodDetector:
    """Fit a detector of a classifier to ID images, and choose the threshold that accepts the share `id_acceptance`.

    `detector` is a name of fig.detectors.table, or a class of pytorch-ood; `settings` are its own. `images` and
    `labels` are as in `fig.patch`; only detectors that are fitted need labels. Of a detector that is fitted the
    threshold comes from the tenth of the images that it is not fitted to (1,000 at most), of others from all of them,
    and of any from those of `calibration` where they are given. Scores are higher for more in-distribution images.

    The model is left as it was. Raises ValueError for a detector that cannot judge this network, and says why.
    """
    device, found = device_of_model(model), find_scaling(scaling)
    made = build_detector(detector, settings or {})
    feed = Feed(images, labels, found, device)
    first = next(feed.once(2), None)
    if first is None:
        raise ValueError("there are no images to fit the detector to")
    network = as_logits(rescaled(model, found), first[0][:1])
    with frozen(network), computing("float32", device):
        with torch.no_grad():
            classes = network(first[0][:1]).shape[1]
        unit = 2 * torch.ones(first[0].shape[1], 1, 1, device=device)
        subject = Subject(network, classes, unit, first[0][:1])
        taps = dict(taps_of(detector, made, subject, type(model).__name__))
        observer = made.observer(subject)
        kept: list[Tensor] = []  # held out
        if observer is not None:
            for rows, rest, classes_of in hold_out_tenth(show(feed, feed.once(BATCH), "fitting", progress), kept):
                for seen in look(subject, taps, rest, rows):
                    observer.see(seen, classes_of[torch.isin(rows, seen.rows).to(device)])
        else:
            kept += [batch for batch, _ in islice(feed.once(BATCH), ceil(MOST_HELD_OUT / BATCH))]

        def held_out() -> Iterator[Seen]:
            return (seen for batch in torch.cat(kept).split(BATCH) for seen in look(subject, taps, batch))

        scorer = ready(observer if observer is not None else made).scorer(subject, held_out)
    if isinstance(scorer, SplitScorer):
        raise ValueError(f"detector {detector} with these settings needs a whole ID test set: it cannot be used here")
    judge = OodDetector(detector, dict(settings or {}), -inf, id_acceptance, np.zeros(0), found, subject, scorer, taps)
    if calibration is None:
        calibration = images if observer is None else [rescale(torch.cat(kept), found)]
    id_scores = judge.score(calibration, progress)
    return replace(judge, threshold=threshold(id_scores, id_acceptance), id_scores=id_scores)


def hold_out_tenth(
    batches: Iterable[tuple[Tensor, Tensor | None]], kept: list[Tensor]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Rows (b,), images and labels of what is not held out; into `kept` goes every tenth image, MOST_HELD_OUT at most.

    Raises ValueError where there are no labels.
    """
    first = 0
    for images, labels in batches:
        if labels is None:
            raise ValueError(UNLABELLED)
        rows = torch.arange(first, first + len(images))
        first += len(images)
        out = (rows % round(1 / HELD_OUT) == 0) & (rows < MOST_HELD_OUT / HELD_OUT)
        kept.append(images[out.to(images.device)])
        rest = ~out.to(images.device)
        yield rows[~out], images[rest], labels[rest]


def look(subject: Subject, taps: Mapping[str, Tap], images: Tensor, rows: Tensor | None = None) -> Iterator[Seen]:
    """Images (b, channels, h, w) in [-1, 1] as the network sees them; in halves where memory does not suffice."""
    numbers = torch.arange(len(images))
    rows = numbers if rows is None else rows
    return halve_until_it_fits(
        lambda places: see_inputs(subject.network, taps, rows[places], images[places.to(images.device)]), numbers
    )


def show(
    feed: Feed, batches: Iterator[tuple[Tensor, Tensor | None]], doing: str, progress: bool
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The batches, with a progress bar."""
    total = ceil(len(feed) / BATCH) if feed.in_memory else len(feed) or None
    yield from tqdm(batches, doing, total, unit="batch", disable=not progress)
