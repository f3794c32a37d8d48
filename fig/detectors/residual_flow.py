"""Deep residual flow (DRF): a normalising flow of each stage's features for each class (Zisselman and Tamar, 2020)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fig.detectors.flows import LinearFlow, ResidualFlows
from fig.detectors.gaussians import Moments
from fig.detectors.perturbed import PerturbedScorer, stage_means, stage_taps
from fig.detectors.protocol import HeldOut, Kept, Scorer, Seen, Subject
from fig.detectors.table import ResidualFlowSettings
from fig.networks.taps import Tap
from fig.seeding import generator
from fig.settings import settings


@settings
class ResidualFlow(ResidualFlowSettings):
    """Scores of the stages are added.

    Training is the authors': the sum over a batch is minimised by Adam.
    """

    def taps(self, subject: Subject) -> dict[str, Tap]:
        """Spatial means of every stage."""
        return stage_taps(subject)

    def observer(self, subject: Subject) -> "FeatureObserver":
        """Every stage's features, which the flows are trained on."""
        return FeatureObserver(subject.classes, self)


@dataclass
class FeatureObserver:
    """Spatial means of every stage, kept for training."""

    classes: int
    flow: ResidualFlow
    kept: Kept = field(default_factory=Kept)

    def see(self, seen: Seen, labels: Tensor) -> None:
        """Keep a batch's features."""
        self.kept.see(seen, labels, stage_means(seen))

    def merge(self, other: "FeatureObserver") -> None:
        """Append another worker's features."""
        self.kept.merge(other.kept)

    def scorer(self, subject: Subject, held_out: HeldOut) -> Scorer:
        """The densities that flows of every stage find."""
        labels, features = self.kept.in_order(subject.unit.device)
        densities = [fit_residual_flow(features[name], labels, self.classes, self.flow) for name in stage_taps(subject)]
        return PerturbedScorer(subject, densities, self.flow.magnitudes).choose_magnitude(held_out)


@dataclass(frozen=True)
class Flows:
    """The flows of one stage, of the classes that were seen."""

    means: Tensor  # (C, D)
    linear: LinearFlow
    residual: ResidualFlows

    def logs(self, features: Tensor) -> Tensor:
        """Log density of each class: (B, D) -> (B, C)."""
        centred = features.to(self.means)[None] - self.means[:, None]  # (C, B, D)
        return (self.residual.log_density(self.linear(centred)) + self.linear.log_determinant).T


def fit_residual_flow(features: Tensor, labels: Tensor, classes: int, flow: ResidualFlow) -> Flows:
    """The flows of features (N, D) with labels (N,), all classes trained side by side.

    A class of which nothing was seen has none. Raises ValueError where the features hardly vary.
    """
    moments = Moments.of(classes, features.shape[1], features.device)
    moments.see(features, labels)
    moments = moments.on_cpu()
    present, counts = moments.counts > 0, moments.counts.long()
    means = moments.means.float().to(features)  # (classes, D)
    exact = LinearFlow.of(moments.covariance)
    linear = LinearFlow(exact.matrix.float().to(features), exact.log_determinant)
    size = linear.matrix.shape[1]
    hidden = max(1, round(flow.hidden * size))
    draw = generator(flow.seed, "flows")
    residual = ResidualFlows(int(present.sum()), size, hidden, flow.couplings, draw).to(features.device)
    order = labels.argsort(stable=True)
    white = linear(features - means[labels])[order].split(counts[present].tolist())
    train_flows(residual, pad_sequence(white, batch_first=True), counts[present], flow, draw)
    return Flows(means[present.to(means.device)], linear, residual.requires_grad_(False))


def train_flows(
    residual: ResidualFlows, padded: Tensor, counts: Tensor, flow: ResidualFlow, draw: torch.Generator
) -> None:
    """Train flows on whitened features (C, N, k), of which the first `counts` (C,) of each class are features."""
    optimizer = torch.optim.Adam(residual.parameters(), flow.learning_rate, fused=True)
    for _ in range(flow.epochs):
        for z, there in class_batches(padded, counts, flow.batch, draw):
            loss = -(residual.log_density(z) * there).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def class_batches(padded: Tensor, counts: Tensor, size: int, draw: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch in batches of up to `size` features of each class, shuffled: (C, b, k), and (C, b) that marks them.

    Of `padded` (C, N, k) the first `counts` (C,) of each class are features, the others are taken last: classes with
    fewer features run out of them first.
    """
    places = torch.arange(padded.shape[1])
    orders = torch.stack([torch.cat([torch.randperm(int(n), generator=draw), places[n:]]) for n in counts])  # (C, N)
    there = (orders < counts[:, None]).to(padded)
    classes = torch.arange(len(counts), device=padded.device)[:, None]
    for rows, marks in zip(orders.to(padded.device).split(size, dim=1), there.split(size, dim=1), strict=True):
        yield padded[classes, rows], marks
