"""Time the detectors against plain loops with the same scores, and against pytorch-ood, in turn, on real digits.

Example: python benchmarks/detectors.py --width 0.25
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Annotated

import cyclopts
import numpy as np
import torch
from cyclopts import Parameter
from digits import load_digits, train_some
from pytorch_ood import detector as library
from ratios import Count, Device, Pairs, Width, print_head, print_machine, print_row, time_pairs
from sklearn.covariance import EmpiricalCovariance
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fig.data.arrays import Split
from fig.data.batches import images_on, labels_of
from fig.detectors.baseline import log_odds
from fig.detectors.flows import LinearFlow
from fig.detectors.gaussians import Moments
from fig.detectors.gram import row_sums
from fig.detectors.mahalanobis import Gaussians, Mahalanobis
from fig.detectors.odin import Odin, OdinScorer
from fig.detectors.perturbed import PerturbedScorer
from fig.detectors.protocol import Detector, Seen, Subject
from fig.detectors.residual_flow import ResidualFlow
from fig.detectors.residual_flow import fit_residual_flow as trained_flows
from fig.detectors.table import build_detector
from fig.discriminator import Discriminator
from fig.evaluation import EvaluationSettings, fit_detectors, hold_out, score_split, seen_in_turn, some, subject_of
from fig.frozen import frozen
from fig.networks.resnet import STAGES
from fig.networks.taps import Tap, kept_at, pooled, tap_modules
from fig.precision import computing

SIZES = list(STAGES.values())  # features of a ResNet18's stages


def compare(what: str, reference: Callable, ours: Callable, pairs: int, same: bool = True, remark: str = "") -> None:
    """Print a row of the table. With `same`, first check that the scores agree, and time ten times as many pairs."""
    if same:
        torch.testing.assert_close(ours(), reference(), rtol=1e-2, atol=1e-2)
        pairs *= 10
    print_row(what, *time_pairs(reference, ours, pairs, warm=False), remark)


def odin_loop(network: nn.Module, inputs: Tensor, odin: Odin) -> Tensor:
    """Return ODIN's scores (B, settings) by a forward, a backward and a forward pass for every setting."""
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
    """Return scores (B, magnitudes) by three passes of the whole network for every stage and magnitude.

    The passes are a forward, a backward and a forward pass.
    """
    subject, total = scorer.subject, inputs.new_zeros(len(inputs), len(scorer.magnitudes), dtype=torch.float64)
    for stage, density in zip(subject.stages, scorer.densities, strict=True):
        for column, magnitude in enumerate(scorer.magnitudes):
            moving = inputs.clone().requires_grad_()
            with tap_modules(subject.network, {"": Tap(stage, pooled)}) as kept:
                subject.network(moving)
                (gradient,) = torch.autograd.grad(density.logs(kept[""].double()).amax(1).sum(), moving)
                with torch.no_grad():
                    subject.network(inputs + magnitude * torch.where(gradient >= 0, 2.0, -2.0))
                    total[:, column] += density.logs(kept[""].double()).amax(1)
    return total


def full_gram(features: Tensor, orders: tuple[int, ...]) -> Tensor:
    """Return the row sums of Gram matrices, computed by forming the matrices."""
    rows = []
    for order in orders:
        powers = features.flatten(2) ** order
        sums = (powers @ powers.transpose(1, 2)).sum(2)
        rows.append(sums.sign() * sums.abs() ** (1 / order))
    return torch.stack(rows, 1)


class MaskedFlow(nn.Module):
    """One class's residual flow, as its authors write it: networks of all variables with one half masked out."""

    def __init__(self, linear: Tensor, hidden: int, couplings: int) -> None:
        super().__init__()
        self.linear, size = linear, linear.shape[1]
        self.s, self.t = (nn.ModuleList(layers(size, hidden) for _ in range(couplings)) for _ in range(2))
        self.scales = nn.ParameterList(torch.ones(size) for _ in range(couplings))
        first = (torch.arange(size) < size // 2).float()
        self.masks, self.orders = (first, 1 - first), [torch.randperm(size) for _ in range(couplings // 2)]

    def log_density(self, centred: Tensor) -> Tensor:
        """Return log densities, up to a constant: (B, D) -> (B,)."""
        z = centred @ self.linear
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
    """Build a coupling's network, whose last layer starts at zero."""
    last = nn.Linear(hidden, size)
    nn.init.zeros_(last.weight), nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(size, hidden), nn.LeakyReLU(0.01), nn.Linear(hidden, hidden), nn.LeakyReLU(0.01), last
    )


def flows_one_class_after_the_other(features: Tensor, labels: Tensor, classes: int, flow: ResidualFlow) -> None:
    """Train the authors' flows in a loop over classes."""
    moments = Moments.of(classes, features.shape[1], features.device)
    moments.see(features, labels)
    matrix = LinearFlow.of(moments.on_cpu().covariance).matrix.float().to(features)
    masked_flows(features - moments.means.float()[labels], labels, matrix, classes, flow)


def masked_flows(centred: Tensor, labels: Tensor, linear: Tensor, classes: int, flow: ResidualFlow) -> list[MaskedFlow]:
    """Train a flow for each class of centred features (N, D), as the authors do."""
    hidden = max(1, round(flow.hidden * linear.shape[1]))
    found = [MaskedFlow(linear, hidden, flow.couplings).to(centred.device) for _ in range(classes)]
    loaders = [DataLoader(centred[labels == c], batch_size=flow.batch, shuffle=True) for c in range(classes)]
    optimizers = [torch.optim.Adam(masked.parameters(), flow.learning_rate) for masked in found]
    for _ in range(flow.epochs):
        for masked, loader, optimizer in zip(found, loaders, optimizers, strict=True):
            for part in loader:
                loss = -masked.log_density(part).sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return found


def fits_of_flows(sizes: list[int], pairs: int, device: str) -> None:
    """Time fits of ten classes with as many features as ResNet18's stages have. Their values do not change the time."""
    labels, flow = torch.arange(10 * 512, device=device) % 10, ResidualFlow(epochs=5)  # of two full batches
    for fit in (flows_one_class_after_the_other, trained_flows):
        fit(torch.randn(len(labels), 2, device=device), labels, 10, flow)  # the first use of an optimiser imports much
    for size in sizes:
        features = torch.randn(len(labels), size, device=device)
        compare(
            f"residual_flow, fit of 10 classes of {size} features",
            partial(flows_one_class_after_the_other, features, labels, 10, flow),
            partial(trained_flows, features, labels, 10, flow),
            pairs,
            same=False,
        )


@dataclass(frozen=True)
class Authors:
    """The five detectors in their authors' ways, one after the other, on the same images as ours.

    Weights need gradients, as in the authors' code. Lee et al. and Zisselman and Tamar go no deeper than the stage.
    """

    discriminator: Discriminator
    detectors: dict[str, Detector]
    train: Tensor  # images (N, 3, h, w), scaled
    labels: Tensor  # (N,)
    held_out: Tensor  # images that normalise Gram's deviations
    batch: int

    def __call__(self, sets: list[Tensor]) -> dict[str, list[Tensor]]:
        """Return each detector's scores of each set. The first set is ID; ODIN scores it again with each OOD set."""
        again = [each for ood in sets[1:] for each in (sets[0], ood)]
        found = {name: [self.probabilities(each, name) for each in again] for name in ("baseline", "odin")}
        found = {name: [each[0], *each[1::2]] for name, each in found.items()}
        for name, fit in {"mahalanobis": self.gaussians, "residual_flow": self.flows}.items():
            found[name] = self.sum_densities(sets, fit(), self.detectors[name].magnitudes)
        return found | {"gram": self.gram(sets)}

    def probabilities(self, images: Tensor, name: str) -> Tensor:
        """Return the largest probability; ODIN takes a forward, a backward and a forward pass for each setting."""
        odin, network = self.detectors["odin"], self.discriminator.network
        if name == "baseline":
            with torch.no_grad():
                return torch.cat([network(x).softmax(1).amax(1) for x in images.split(self.batch)])[:, None]
        columns = []
        for temperature, magnitude in product(odin.temperatures, odin.magnitudes):
            scores = []
            for x in images.split(self.batch):
                moving = x.clone().requires_grad_()
                logits = network(moving)
                nn.functional.cross_entropy(logits / temperature, logits.argmax(1)).backward()
                with torch.no_grad():
                    moved = network(x - magnitude * torch.where(moving.grad >= 0, 2.0, -2.0)) / temperature
                scores.append(moved.softmax(1).amax(1))
            columns.append(torch.cat(scores))
        return torch.stack(columns, 1)

    def at(self, stage: str, images: Tensor) -> Tensor:
        """Return the spatial means at a stage."""
        return kept_at(self.discriminator.network, Tap(stage, pooled), images)

    def centre_features(self, stage: str) -> tuple[Tensor, Tensor]:
        """Return the training features minus the mean of their class, and the means."""
        with torch.no_grad():
            features = torch.cat([self.at(stage, x) for x in self.train.split(self.batch)])
        means = torch.stack([features[self.labels == c].mean(0) for c in range(10)])
        return features - means[self.labels], means

    def gaussians(self) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
        """Yield each stage and its distances: features -> (B, 10)."""
        for stage in subject_of(self.discriminator).stages:
            centred, means = self.centre_features(stage)
            precision = torch.from_numpy(EmpiricalCovariance().fit(centred.cpu().numpy()).precision_).to(means)
            yield (
                stage,
                lambda f, m=means, p=precision: torch.stack([-0.5 * ((f - c) @ p @ (f - c).T).diag() for c in m], 1),
            )

    def flows(self) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
        """Yield each stage and its log densities under each class's flow, up to a constant: features -> (B, 10)."""
        for stage in subject_of(self.discriminator).stages:
            centred, means = self.centre_features(stage)
            linear = LinearFlow.of(centred.T.double() @ centred.double() / len(centred))
            each = masked_flows(centred, self.labels, linear.matrix.to(centred), 10, self.detectors["residual_flow"])
            yield (
                stage,
                lambda f, m=means, each=each: torch.stack(
                    [one.log_density(f - c) for one, c in zip(each, m, strict=True)], 1
                ),
            )

    def sum_densities(
        self, sets: list[Tensor], stages: Iterator[tuple[str, Callable[[Tensor], Tensor]]], magnitudes: tuple[float]
    ) -> list[Tensor]:
        """Return sums over stages of the largest density after a step: each set (N, magnitudes)."""
        totals = [images.new_zeros(len(images), len(magnitudes)) for images in sets]
        for stage, density in stages:
            for column, magnitude in enumerate(magnitudes):
                for images, total in zip(sets, totals, strict=True):
                    for x, part in zip(images.split(self.batch), total.split(self.batch), strict=True):
                        moving = x.clone().requires_grad_()
                        density(self.at(stage, moving)).amax(1).mean().backward()
                        with torch.no_grad():
                            moved = self.at(stage, x + magnitude * torch.where(moving.grad >= 0, 2.0, -2.0))
                            part[:, column] += density(moved).amax(1)
        return totals

    def gram(self, sets: list[Tensor]) -> list[Tensor]:
        """Return the negative deviations of row sums, from formed Gram matrices and ranges found class by class."""
        gram, network = self.detectors["gram"], self.discriminator.network
        taps = gram.taps(subject_of(self.discriminator))
        whole = {name: replace(tap, keep=partial(full_gram, orders=gram.orders)) for name, tap in taps.items()}

        def look_at(images: Tensor) -> tuple[Tensor, list[Tensor]]:
            with torch.no_grad(), tap_modules(network, whole) as kept:
                logits, values = zip(
                    *[(network(x), list(kept.values())) for x in images.split(self.batch)], strict=True
                )
            return torch.cat(logits), [torch.cat(each) for each in zip(*values, strict=True)]

        logits, values = look_at(self.train)
        predicted = logits.argmax(1)
        members = [rows if (rows := predicted == c).any() else slice(None) for c in range(10)]  # all if none is
        lows, highs = (
            [torch.stack([end(each[rows], 0) for rows in members]) for each in values]
            for end in (torch.amin, torch.amax)
        )

        def deviations(images: Tensor) -> Tensor:
            logits, values = look_at(images)
            classes, confidence = logits.argmax(1), logits.softmax(1).amax(1)
            found = []
            for value, low, high in zip(values, lows, highs, strict=True):
                low, high, total = low[classes], high[classes], 0
                for order in range(len(gram.orders)):
                    v, low_, high_ = value[:, order], low[:, order], high[:, order]
                    below, above = (low_ - v).relu() / (low_ + 1e-6).abs(), (v - high_).relu() / (high_ + 1e-6).abs()
                    total = total + below.sum(1) + above.sum(1)
                found.append(total / confidence)
            return torch.stack(found, 1)

        usual = deviations(self.held_out).mean(0) + 1e-7
        return [-(deviations(images) / usual).sum(1, keepdim=True) for images in sets]


def five_detectors(discriminator: Discriminator, train: Split, test: Split, few: EvaluationSettings) -> None:
    """Time one pass for all detectors against the authors' ways, on the digits and eight OOD sets made of them."""
    small = {
        "baseline": {},
        "odin": {"temperatures": [1, 100, 1000], "magnitudes": [0, 0.001, 0.002, 0.004]},
        "mahalanobis": {"magnitudes": [0, 0.001, 0.01]},
        "residual_flow": {"magnitudes": [0.0025], "epochs": 10},
        "gram": {},
    }
    detectors = {name: build_detector(name, settings) for name, settings in small.items()}
    sets = [replace(test, images=np.roll(test.images, shift, axis=1) ^ np.uint8(shift)) for shift in range(9)]

    def at_once() -> dict[str, list[Tensor]]:
        with frozen(discriminator):
            scorers = fit_detectors(detectors, discriminator, train, 0, few)
            grids = [score_split(detectors, scorers, discriminator, data, few).grids for data in sets]
        return {name: [torch.from_numpy(each[name]) for each in grids] for name in detectors}

    held_out, rest = hold_out(some(len(train.images), few.training_images), 0)
    inputs = partial(scaled_images, discriminator)
    fit, labels, normal = inputs(train, rest), labels_of(train)[rest], inputs(train, held_out)
    authors = Authors(discriminator.eval(), detectors, fit, labels, normal, few.batch)
    images = [inputs(data, some(len(data.images), few.images)) for data in sets]
    ours, theirs = at_once(), authors(images)
    worst = 1.0
    for name in detectors:
        one, other = torch.cat(ours[name]), torch.cat(theirs[name]).double().cpu()
        one = one.sigmoid() if name in ("baseline", "odin") else one
        found = min(torch.corrcoef(torch.stack(pair))[0, 1].item() for pair in zip(one.T, other.T, strict=True))
        if found < 0.99:
            raise ValueError(f"the scores of {name} are not the authors': their correlation is {found:.3f}")
        worst = min(worst, found)
    compare(
        "five detectors, one ID and eight OOD sets, against the authors' ways",
        lambda: authors(images),
        at_once,
        1,
        same=False,
        remark=f"correlation of the scores {worst:.5f} at least",
    )


def scaled_images(discriminator: Discriminator, data: Split, rows: Tensor) -> Tensor:
    """Return images in the network's scaling: (b, 3, h, w)."""
    return discriminator.scaled(images_on(discriminator.device, data, rows))


def against_the_library(subject: Subject, seen: Seen, means: Tensor, labels: Tensor, pairs: int) -> None:
    """Time the detectors whose definitions coincide with pytorch-ood's."""
    network, inputs = subject.network, seen.inputs
    softmax, odin = library.MaxSoftmax(network), library.ODIN(network, temperature=1000, eps=0.0014, norm_std=[0.5] * 3)
    with torch.no_grad():
        compare(
            "baseline against pytorch-ood",
            lambda: -softmax.predict(inputs).double(),
            lambda: log_odds(network(inputs).double()).sigmoid(),
            pairs,
        )
    one = OdinScorer(subject, Odin((1000,), (0.0014,)))
    compare(
        "odin, one setting, against pytorch-ood",
        lambda: -odin.predict(inputs.clone()).detach().double(),
        lambda: one.scores(seen)[:, 0].sigmoid(),
        pairs,
    )
    theirs = library.Mahalanobis(None).fit_features(means, labels)
    moments = Moments.of(subject.classes, means.shape[1], means.device)
    moments.see(means, labels)
    ours = Gaussians.of(moments, means.device)
    compare(
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
            taps = mlb.taps(subject)
            seen = next(seen_in_turn(discriminator, taps, data, everything[:images], images))
            odin = Odin()
            grid = OdinScorer(subject, odin)
            compare(
                "odin, the grid of 210",
                lambda: odin_loop(subject.network, seen.inputs, odin),
                lambda: grid.scores(seen),
                pairs,
                same=False,
            )
            scorer = fit_detectors({"": mlb}, discriminator, data, 0)[""]
            compare(
                "mahalanobis, 11 magnitudes",
                lambda: mahalanobis_loop(scorer, seen.inputs),
                lambda: scorer.scores(seen),
                pairs,
                same=False,
            )
            features = torch.rand(32, 256, 8, 8, device=device)
            orders = tuple(range(1, 11))
            compare(
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
        few = EvaluationSettings(batch=images, images=images, training_images=max(64, 8 * images))
        five_detectors(discriminator, data, load_digits("test"), few)


if __name__ == "__main__":
    cyclopts.run(main)
