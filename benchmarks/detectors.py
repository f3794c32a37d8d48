"""The detectors against plain loops that give the same scores, and against pytorch-ood, in turn, on real digits.

Example: python benchmarks/detectors.py --width 0.25
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer
from digits import digits, trained
from pytorch_ood import detector as library
from ratios import machine, ratio
from torch import Tensor, nn

from fig.data.arrays import Split
from fig.detectors import Detector, detector_of
from fig.detectors.baseline import log_odds
from fig.detectors.flows import LinearFlow, ResidualFlows
from fig.detectors.gaussians import Moments
from fig.detectors.gram import row_sums
from fig.detectors.mahalanobis import Gaussians, Mahalanobis
from fig.detectors.odin import Odin, OdinScorer
from fig.detectors.perturbed import PerturbedScorer
from fig.detectors.protocol import Seen, Subject
from fig.detectors.residual_flow import ResidualFlow
from fig.detectors.residual_flow import trained as trained_flows
from fig.discriminator import Discriminator
from fig.evaluation import evaluated, fitted, seen_in_turn, subject_of
from fig.frozen import frozen
from fig.networks.taps import Tap, pooled, tapped


def told(what: str, reference: Callable, ours: Callable, pairs: int, same: bool = True) -> None:
    """Print a row of the table, after a look at whether the scores are the same."""
    if same:
        torch.testing.assert_close(ours(), reference(), rtol=1e-2, atol=1e-2)
    print(f"| {what} | {ratio(reference, ours, pairs, warm=False)} |", flush=True)


def odin_loop(network: nn.Module, inputs: Tensor, odin: Odin) -> Tensor:
    """A forward pass, a backward pass and a forward pass for every setting."""
    columns = []
    for temperature in odin.temperatures:
        for magnitude in odin.magnitudes:
            moving = inputs.clone().requires_grad_()
            logits = network(moving)
            loss = nn.functional.cross_entropy(logits / temperature, logits.argmax(1), reduction="sum")
            (gradient,) = torch.autograd.grad(loss, moving)
            with torch.no_grad():
                moved = network(inputs - magnitude * torch.where(gradient >= 0, 2.0, -2.0))
            columns.append(log_odds(moved.double() / temperature))
    return torch.stack(columns, 1)


def mahalanobis_loop(scorer: PerturbedScorer, inputs: Tensor) -> Tensor:
    """A forward pass, a backward pass and a forward pass of the whole network for every stage and magnitude."""
    subject, total = scorer.subject, torch.zeros(len(inputs), len(scorer.magnitudes), dtype=torch.float64)
    for stage, density in zip(subject.stages, scorer.densities, strict=True):
        for column, magnitude in enumerate(scorer.magnitudes):
            moving = inputs.clone().requires_grad_()
            with tapped(subject.network, {"": Tap(stage, pooled)}) as kept:
                subject.network(moving)
                (gradient,) = torch.autograd.grad(density.logs(kept[""].double()).amax(1).sum(), moving)
                with torch.no_grad():
                    subject.network(inputs + magnitude * torch.where(gradient >= 0, 2.0, -2.0))
                    total[:, column] += density.logs(kept[""].double()).amax(1)
    return total


def full_gram(features: Tensor, orders: tuple[int, ...]) -> Tensor:
    """Row sums of Gram matrices that are formed."""
    rows = []
    for order in orders:
        powers = features.flatten(2) ** order
        sums = (powers @ powers.transpose(1, 2)).sum(2)
        rows.append(sums.sign() * sums.abs() ** (1 / order))
    return torch.stack(rows, 1)


def flows_one_class_after_the_other(features: Tensor, labels: Tensor, classes: int, flow: ResidualFlow) -> None:
    """The same training, in a loop over classes."""
    moments = Moments.of(classes, features.shape[1])
    moments.see(features, labels)
    linear = LinearFlow.of(moments.covariance)
    matrix, draw = linear.matrix.float(), torch.Generator().manual_seed(0)
    size = matrix.shape[1]
    for c in range(classes):
        z = ((features[labels == c] - moments.means[c].float()) @ matrix)[None]
        flows = ResidualFlows(1, size, max(1, round(flow.hidden * size)), flow.couplings, draw)
        optimizer = torch.optim.Adam(flows.parameters(), flow.learning_rate)
        for _ in range(flow.epochs):
            for rows in torch.randperm(z.shape[1], generator=draw).split(flow.batch):
                loss = -flows.log_density(z[:, rows]).sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


def pairwise(detectors: dict[str, Detector], discriminator: Discriminator, train: Split, sets: list[Split]) -> None:
    """Each OOD set scored together with the ID set, one detector after the other, nothing shared."""
    for name, detector in detectors.items():
        one = {name: detector}
        scorers = fitted(one, discriminator, train, 0)
        for ood in sets[1:]:
            evaluated(one, scorers, discriminator, sets[0])
            evaluated(one, scorers, discriminator, ood)


def at_once(detectors: dict[str, Detector], discriminator: Discriminator, train: Split, sets: list[Split]) -> None:
    """Every set scored once under all detectors."""
    scorers = fitted(detectors, discriminator, train, 0)
    for data in sets:
        evaluated(detectors, scorers, discriminator, data)


def against_the_library(subject: Subject, seen: Seen, means: Tensor, labels: Tensor, pairs: int) -> None:
    """The definitions that coincide with pytorch-ood's."""
    network, inputs = subject.network, seen.inputs
    softmax, odin = library.MaxSoftmax(network), library.ODIN(network, temperature=1000, eps=0.0014, norm_std=[0.5] * 3)
    with torch.no_grad():
        told(
            "baseline against pytorch-ood",
            lambda: -softmax.predict(inputs).double(),
            lambda: log_odds(network(inputs).double()).sigmoid(),
            pairs,
        )
    one = OdinScorer(subject, Odin((1000,), (0.0014,)))
    told(
        "odin, one setting, against pytorch-ood",
        lambda: -odin.predict(inputs.clone()).detach().double(),
        lambda: one.scores(seen)[:, 0].sigmoid(),
        pairs,
    )
    theirs = library.Mahalanobis(None).fit_features(means, labels)
    moments = Moments.of(subject.classes, means.shape[1])
    moments.see(means, labels)
    ours = Gaussians.of(moments, means.device)
    told(
        "mahalanobis, last stage, no noise, against pytorch-ood",
        lambda: -theirs.predict_features(means).double(),
        lambda: ours.logs(means.double()).amax(1) / len(means),
        pairs,
    )


def main(
    width: Annotated[float, typer.Option(help="Width of the ResNet18.")] = 0.25,
    images: Annotated[int, typer.Option(help="Images scored.")] = 128,
    pairs: Annotated[int, typer.Option(min=1, help="Timed pairs of each comparison.")] = 3,
) -> None:
    """Print the detectors' table of docs/performance.md."""
    print(machine(), flush=True)
    with TemporaryDirectory() as folder:
        data = digits(Path(folder))
        discriminator = trained("resnet18", data, 40, width)
        with frozen(discriminator):
            subject = subject_of(discriminator)
            everything = torch.arange(len(data.images))
            mlb = Mahalanobis()
            taps = mlb.taps(subject, torch.zeros(1, 3, 32, 32))
            seen = next(seen_in_turn(discriminator, taps, data, everything[:images], images))
            odin = Odin()
            grid = OdinScorer(subject, odin)
            told(
                "odin, the grid of 210",
                lambda: odin_loop(subject.network, seen.inputs, odin),
                lambda: grid.scores(seen),
                pairs,
                same=False,
            )
            scorer = fitted({"": mlb}, discriminator, data, 0)[""]
            told(
                "mahalanobis, 11 magnitudes",
                lambda: mahalanobis_loop(scorer, seen.inputs),
                lambda: scorer.scores(seen),
                pairs,
                same=False,
            )
            features = torch.rand(32, 256, 8, 8)
            orders = tuple(range(1, 11))
            told(
                "gram, 256 channels of 8 x 8",
                lambda: full_gram(features, orders),
                lambda: row_sums(features, orders),
                pairs,
            )
            kept = list(seen_in_turn(discriminator, taps, data, everything, 256))
            means = torch.cat([list(each.kept.values())[-1] for each in kept])
            labels = torch.tensor(data.description.labels)
            flow = ResidualFlow(epochs=10)
            told(
                f"residual_flow, fit of 10 classes of {means.shape[1]} features",
                lambda: flows_one_class_after_the_other(means, labels, 10, flow),
                lambda: trained_flows(means, labels, 10, flow),
                pairs,
                same=False,
            )
            against_the_library(subject, seen, means, labels, pairs)
            small = {
                "baseline": {},
                "odin": {"temperatures": [1, 1000], "magnitudes": [0, 0.002]},
                "mahalanobis": {"magnitudes": [0, 0.01]},
                "residual_flow": {"magnitudes": [0.05], "epochs": 1},
                "gram": {},
            }
            detectors = {name: detector_of(name, settings) for name, settings in small.items()}
            sets = [digits(Path(folder), "test")] * 9
            told(
                "five detectors, one ID and eight OOD sets, against each pair on its own",
                lambda: pairwise(detectors, discriminator, data, sets),
                lambda: at_once(detectors, discriminator, data, sets),
                1,
                same=False,
            )


if __name__ == "__main__":
    typer.run(main)
