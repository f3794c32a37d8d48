"""The detectors against plain loops that give the same scores, and against pytorch-ood, in turn, on real digits.

Example: python benchmarks/detectors.py --width 0.25
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import cyclopts
import torch
from cyclopts import Parameter
from digits import load_digits, train_some
from pytorch_ood import detector as library
from ratios import Count, Device, Pairs, Width, print_head, print_machine, print_row, time_pairs
from torch import Tensor, nn

from fig.data.arrays import Split
from fig.detectors.baseline import log_odds
from fig.detectors.flows import LinearFlow
from fig.detectors.gaussians import Moments
from fig.detectors.gram import row_sums
from fig.detectors.mahalanobis import Gaussians, Mahalanobis
from fig.detectors.odin import Odin, OdinScorer
from fig.detectors.perturbed import PerturbedScorer
from fig.detectors.protocol import Detector, Seen, Subject
from fig.detectors.residual_flow import ResidualFlow
from fig.detectors.residual_flow import trained as trained_flows
from fig.detectors.table import build_detector
from fig.discriminator import Discriminator
from fig.evaluation import EvaluationSettings, evaluated, fitted, seen_in_turn, subject_of
from fig.frozen import frozen
from fig.networks.resnet import STAGES
from fig.networks.taps import Tap, pooled, tapped
from fig.precision import computing

SIZES = list(STAGES.values())  # features of a ResNet18's stages


def told(what: str, reference: Callable, ours: Callable, pairs: int, same: bool = True) -> None:
    """Print a row of the table; quick comparisons, timed ten times as often, begin with a look at equal scores."""
    if same:
        torch.testing.assert_close(ours(), reference(), rtol=1e-2, atol=1e-2)
        pairs *= 10
    print_row(what, *time_pairs(reference, ours, pairs, warm=False))


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
    subject, total = scorer.subject, inputs.new_zeros(len(inputs), len(scorer.magnitudes), dtype=torch.float64)
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


class MaskedFlow(nn.Module):
    """One class's residual flow as its authors write it: networks of all variables, one half of them masked out."""

    def __init__(self, size: int, hidden: int, couplings: int) -> None:
        super().__init__()
        self.s, self.t = (nn.ModuleList(layers(size, hidden) for _ in range(couplings)) for _ in range(2))
        self.scales = nn.ParameterList(torch.ones(size) for _ in range(couplings))
        first = (torch.arange(size) < size // 2).float()
        self.masks, self.orders = (first, 1 - first), [torch.randperm(size) for _ in range(couplings // 2)]

    def log_density(self, z: Tensor) -> Tensor:
        """Log densities, up to a constant: (B, k) -> (B,)."""
        total = z.new_zeros(len(z))
        for number, (scale, s, t) in enumerate(zip(self.scales, self.s, self.t, strict=True)):
            mask = self.masks[number % 2].to(z)
            given = mask * z
            log_scale, shift = (1 - mask) * scale * s(given).tanh(), (1 - mask) * t(given)
            z, total = given + (1 - mask) * (z - shift) * (-log_scale).exp(), total - log_scale.sum(1)
            if number % 2:
                z = z[:, self.orders[number // 2]]
        return total - 0.5 * z.square().sum(1)


def layers(size: int, hidden: int) -> nn.Sequential:
    """A coupling's network: the last layer starts at zero."""
    last = nn.Linear(hidden, size)
    nn.init.zeros_(last.weight), nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(size, hidden), nn.LeakyReLU(0.01), nn.Linear(hidden, hidden), nn.LeakyReLU(0.01), last
    )


def flows_one_class_after_the_other(features: Tensor, labels: Tensor, classes: int, flow: ResidualFlow) -> None:
    """The authors' flows, trained in a loop over classes."""
    moments = Moments.of(classes, features.shape[1])
    moments.see(features, labels)
    matrix, means = LinearFlow.of(moments.covariance).matrix.float().to(features), moments.means.float().to(features)
    size = matrix.shape[1]
    for c in range(classes):
        z = (features[labels == c] - means[c]) @ matrix
        masked = MaskedFlow(size, max(1, round(flow.hidden * size)), flow.couplings).to(features.device)
        optimizer = torch.optim.Adam(masked.parameters(), flow.learning_rate)
        for _ in range(flow.epochs):
            for rows in torch.randperm(len(z)).split(flow.batch):
                loss = -masked.log_density(z[rows]).sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


def fits_of_flows(sizes: list[int], pairs: int, device: str) -> None:
    """Fits of CIFAR10's ten classes with features as many as ResNet18's stages give, whose values change no time."""
    labels, flow = torch.arange(10 * 512, device=device) % 10, ResidualFlow(epochs=5)  # of two full batches
    for fit in (flows_one_class_after_the_other, trained_flows):
        fit(torch.randn(len(labels), 2, device=device), labels, 10, flow)  # the first use of an optimiser imports much
    for size in sizes:
        features = torch.randn(len(labels), size, device=device)
        told(
            f"residual_flow, fit of 10 classes of {size} features",
            partial(flows_one_class_after_the_other, features, labels, 10, flow),
            partial(trained_flows, features, labels, 10, flow),
            pairs,
            same=False,
        )


def pairwise(
    detectors: dict[str, Detector],
    discriminator: Discriminator,
    train: Split,
    sets: list[Split],
    few: EvaluationSettings,
) -> None:
    """Each OOD set scored together with the ID set, one detector after the other, nothing shared."""
    for name, detector in detectors.items():
        one = {name: detector}
        scorers = fitted(one, discriminator, train, 0, few)
        for ood in sets[1:]:
            evaluated(one, scorers, discriminator, sets[0], few)
            evaluated(one, scorers, discriminator, ood, few)


def at_once(
    detectors: dict[str, Detector],
    discriminator: Discriminator,
    train: Split,
    sets: list[Split],
    few: EvaluationSettings,
) -> None:
    """Every set scored once under all detectors."""
    scorers = fitted(detectors, discriminator, train, 0, few)
    for data in sets:
        evaluated(detectors, scorers, discriminator, data, few)


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
    *,
    width: Width = 0.25,
    images: Annotated[Count, Parameter(help="Images scored.")] = 128,
    flows: Annotated[list[int], Parameter(help="Features of the flows' fits; repeatable.")] = SIZES,
    pairs: Pairs = 3,
    device: Device = "cpu",
) -> None:
    """Print the detectors' table of docs/results/performance.md."""
    print_machine(device)
    print_head("reference", "ours")
    with computing("float32", torch.device(device)):
        data = load_digits()
        discriminator = train_some("resnet18", data, 40, width, device)
        with frozen(discriminator):
            subject = subject_of(discriminator)
            everything = torch.arange(len(data.images))
            mlb = Mahalanobis()
            taps = mlb.taps(subject, torch.zeros(1, 3, 32, 32, device=device))
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
            features = torch.rand(32, 256, 8, 8, device=device)
            orders = tuple(range(1, 11))
            told(
                "gram, 256 channels of 8 x 8",
                lambda: full_gram(features, orders),
                lambda: row_sums(features, orders),
                pairs,
            )
            kept = list(seen_in_turn(discriminator, taps, data, everything, 256))
            means = torch.cat([list(each.kept.values())[-1] for each in kept])
            labels = torch.tensor(data.description.labels, device=device)
            fits_of_flows(flows, pairs, device)
            against_the_library(subject, seen, means, labels, pairs)
            small = {
                "baseline": {},
                "odin": {"temperatures": [1, 1000], "magnitudes": [0, 0.002]},
                "mahalanobis": {"magnitudes": [0, 0.01]},
                "residual_flow": {"magnitudes": [0.05], "epochs": 1},
                "gram": {},
            }
            detectors = {name: build_detector(name, settings) for name, settings in small.items()}
            sets = [load_digits("test")] * 9
            few = EvaluationSettings(images=images, training_images=8 * images)
            told(
                "five detectors, one ID and eight OOD sets, against each pair on its own",
                lambda: pairwise(detectors, discriminator, data, sets, few),
                lambda: at_once(detectors, discriminator, data, sets, few),
                1,
                same=False,
            )


if __name__ == "__main__":
    cyclopts.run(main)
