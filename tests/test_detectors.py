"""Each detector against its formula written out, another library, or brute force."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance
from torch import nn

from fig.data.arrays import Split
from fig.data.batches import labels_of
from fig.detectors.baseline import Baseline, log_odds
from fig.detectors.deconf import Deconf, DeconfScorer, cosines_of
from fig.detectors.energy import Energy
from fig.detectors.flows import LinearFlow, ResidualFlows
from fig.detectors.gaussians import Moments, precision
from fig.detectors.gram import Gram, row_sums
from fig.detectors.library import LibraryDetector
from fig.detectors.mahalanobis import Gaussians, Mahalanobis
from fig.detectors.odin import Odin
from fig.detectors.protocol import Seen, Subject
from fig.detectors.residual_flow import ResidualFlow, class_batches, fit_residual_flow
from fig.discriminator import Architecture, Discriminator
from fig.evaluation import chosen_scores, fit_detectors, metric_rows, score_split, scores, seen_in_turn, subject_of
from fig.frozen import frozen
from fig.metrics import auroc
from fig.networks.table import NETWORKS
from fig.networks.taps import Tap, kept_at, pooled, tap_modules
from fig.seeding import generator


@pytest.fixture
def seen(small: Discriminator, stripes: Split) -> Seen:
    """The stripes as the discriminator sees them."""
    small.eval().requires_grad_(False)
    return next(seen_in_turn(small, {}, stripes, torch.arange(40), 40))


def test_baseline_orders_by_the_maximum_softmax_probability_without_its_ties():
    logits = torch.tensor([[2.0, 1.0, 0.0], [60.0, 0.0, 0.0], [50.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    probability = logits.softmax(1).amax(1)
    assert probability[1] == probability[2]  # rounded to 1: tied
    odds = log_odds(logits)
    assert odds.argsort(descending=True).tolist() == [1, 2, 0, 3]
    torch.testing.assert_close(odds[[0, 3]].sigmoid(), probability[[0, 3]])


def test_baseline_takes_the_log_odds_of_the_networks_logits(small: Discriminator, stripes: Split, seen: Seen):
    np.testing.assert_allclose(
        scores(Baseline(), small, stripes)[:, 0], log_odds(seen.logits.double()).numpy(), rtol=1e-5
    )


def test_odin_is_its_formula_setting_by_setting(small: Discriminator, stripes: Split, seen: Seen):
    odin = Odin((1, 10, 1000), (0, 0.002, 0.004))
    grid, column = scores(odin, small, stripes), 0
    for temperature in odin.temperatures:
        for magnitude in odin.magnitudes:
            inputs = seen.inputs.clone().requires_grad_()
            logits = small.network(inputs)
            loss = nn.functional.cross_entropy(logits / temperature, logits.argmax(1), reduction="sum")
            (gradient,) = torch.autograd.grad(loss, inputs)
            step = torch.where(gradient >= 0, 1.0, -1.0) / 0.5  # the pixel range [0, 1] is two wide here
            moved = small.network(inputs - magnitude * step).detach()
            probability = (moved.double() / temperature).softmax(1).amax(1)
            torch.testing.assert_close(torch.from_numpy(grid[:, column]).sigmoid(), probability, rtol=1e-4, atol=1e-5)
            column += 1


def test_odin_equals_pytorch_oods(small: Discriminator, stripes: Split, seen: Seen):
    library = pytest.importorskip("pytorch_ood.detector")
    theirs = library.ODIN(small.network, eps=0.002, temperature=1000, norm_std=[0.5, 0.5, 0.5])
    probability = -theirs.predict(seen.inputs.clone()).detach().double()
    ours = torch.from_numpy(scores(Odin((1000,), (0.002,)), small, stripes)[:, 0]).sigmoid()
    torch.testing.assert_close(ours, probability, rtol=1e-5, atol=1e-6)


def test_energy_through_the_library_is_pytorch_oods_with_its_sign_turned(
    small: Discriminator, stripes: Split, seen: Seen
):
    library = pytest.importorskip("pytorch_ood.detector")
    ours = scores(LibraryDetector(name="pytorch_ood.detector.EnergyBased"), small, stripes)[:, 0]
    np.testing.assert_allclose(ours, -library.EnergyBased.score(seen.logits).double().numpy(), rtol=1e-5)
    np.testing.assert_allclose(ours, scores(Energy(), small, stripes)[:, 0], rtol=1e-5)


@pytest.fixture
def features() -> tuple[torch.Tensor, torch.Tensor]:
    """Features (300, 6) of three classes, correlated, one of them constant, with labels."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    mix = torch.randn(6, 6, generator=draw)
    values = torch.randn(300, 6, generator=draw) @ mix + 3 * torch.randn(3, 6, generator=draw)[labels]
    values[:, 5] = 1.0
    return values, labels


def moments_of(features: torch.Tensor, labels: torch.Tensor) -> Moments:
    moments = Moments.of(3, 6)
    for rows in torch.arange(300).split(77):
        moments.see(features[rows], labels[rows])
    return moments


def test_moments_are_scikit_learns_means_and_covariance(features):
    values, labels = features
    moments = moments_of(values, labels)
    means = torch.stack([values[labels == c].mean(0) for c in range(3)]).double()
    torch.testing.assert_close(moments.means, means, rtol=1e-5, atol=1e-5)
    theirs = EmpiricalCovariance(assume_centered=False).fit((values - means.float()[labels]).numpy())
    np.testing.assert_allclose(moments.covariance.numpy(), theirs.covariance_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(precision(moments.covariance).numpy()[:5, :5], theirs.precision_[:5, :5], rtol=1e-3)
    with pytest.raises(ValueError, match="1 images give no covariance"):
        lonely = Moments.of(2, 6)
        lonely.see(values[:1], labels[:1])
        _ = lonely.covariance


def test_merged_moments_are_those_of_all_features(features):
    values, labels = features
    first, second = (moments_of(values[half], labels[half]) for half in (torch.arange(300), torch.arange(300)))
    half = Moments.of(3, 6)
    half.see(values[:100], labels[:100])
    rest = Moments.of(3, 6)
    rest.see(values[100:], labels[100:])
    half.merge(rest)
    torch.testing.assert_close(half.covariance, first.covariance)
    torch.testing.assert_close(half.means, second.means)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("resnet18", ["relu"]),
        ("vgg19", []),
        ("shufflenetv2", []),
        ("densenet100", ["features.pool0"]),
        ("airbench", []),
    ],
)
@pytest.mark.parametrize("size", [32, 64])
def test_detectors_look_at_the_stages_of_the_literature_and_at_the_stem_where_lee_et_al_do(
    name: str, stem: list[str], size: int
):
    discriminator = Discriminator(Architecture(name, 10, size, width=1 / 8)).eval()
    assert subject_of(discriminator).stages == (*stem, *NETWORKS[name].stages)
    for stage in stem:
        pool(discriminator, stage, torch.rand(1, 3, size, size))


def test_the_stem_is_what_lee_et_al_take_for_it():
    inputs = torch.rand(2, 3, 32, 32)
    resnet, densenet = (Discriminator(Architecture(name, 10, 32, 1 / 8)).eval() for name in ("resnet18", "densenet100"))
    network = resnet.network
    assert pool(resnet, "relu", inputs).equal(pooled(network.bn1(network.conv1(inputs)).relu()))
    assert pool(densenet, "features.pool0", inputs).equal(pooled(densenet.network.features.conv0(inputs)))


def pool(small: Discriminator, stage: str, inputs: torch.Tensor) -> torch.Tensor:
    return kept_at(small.network, Tap(stage, pooled), inputs)


def test_mahalanobis_is_its_formula_layer_by_layer(small: Discriminator, stripes: Split, seen: Seen):
    """Class means and one covariance of each stage, a step of that stage's own gradient, scores added."""
    stages = ("layer1", "layer3")
    tapped = Discriminator(replace(small.architecture, taps=stages))
    tapped.load_state_dict(small.state_dict())
    tapped.eval().requires_grad_(False)
    with frozen(tapped):
        (scorer,) = fit_detectors({"": Mahalanobis((0, 0.01))}, tapped, stripes, seed=0).values()
    fit = torch.randperm(40, generator=generator(0, "held-out"))[4:].sort().values
    labels = labels_of(stripes)
    total = torch.zeros(40, 2, dtype=torch.float64)
    for stage in stages:
        train = pool(tapped, stage, seen.inputs[fit]).double()
        means = torch.stack([train[labels[fit] == c].mean(0) for c in range(2)])
        inverse = torch.from_numpy(EmpiricalCovariance().fit((train - means[labels[fit]]).numpy()).precision_)

        def distances(inputs, stage=stage, means=means, inverse=inverse):
            away = pool(tapped, stage, inputs).double()[:, None] - means
            return -0.5 * torch.einsum("bcd,de,bce->bc", away, inverse, away)

        inputs = seen.inputs.clone().requires_grad_()
        found = distances(inputs)
        (gradient,) = torch.autograd.grad(found.amax(1).sum(), inputs)
        step = torch.where(gradient >= 0, 2.0, -2.0)
        total[:, 0] += found.detach().amax(1)
        total[:, 1] += distances(seen.inputs + 0.01 * step).amax(1)
    kept = {f"mean.{stage}": pool(tapped, stage, seen.inputs) for stage in stages}
    ours = scorer.scores(Seen(seen.rows, seen.inputs, seen.logits, kept))
    torch.testing.assert_close(ours[:, 0], total[:, 0], rtol=1e-3, atol=1e-2)
    assert (ours[:, 1] - total[:, 1]).abs().median() < 0.02 * total[:, 1].abs().median()


def test_mahalanobis_of_the_last_layer_without_noise_equals_pytorch_oods(features):
    library = pytest.importorskip("pytorch_ood.detector")
    values, labels = features
    values = values[:, :5]  # theirs has no pseudo-inverse, and does not divide its covariance by the 300 images
    theirs = library.Mahalanobis(None).fit_features(values, labels)
    moments = Moments.of(3, 5)
    moments.see(values, labels)
    ours = Gaussians.of(moments, torch.device("cpu")).logs(values.double()).amax(1)
    torch.testing.assert_close(-ours / 300, theirs.predict_features(values).double(), rtol=1e-3, atol=1e-5)


def test_row_sums_are_those_of_gram_matrices_formed_in_full():
    features = torch.randn(3, 5, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours = row_sums(features, tuple(range(1, 11)))
    for order in range(1, 11):
        powers = features.flatten(2) ** order
        rows = (powers @ powers.transpose(1, 2)).sum(2)
        torch.testing.assert_close(ours[:, order - 1], rows.sign() * rows.abs() ** (1 / order))


def test_row_sums_do_not_depend_on_how_many_images_are_taken_at_a_time(monkeypatch: pytest.MonkeyPatch):
    features = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    together = row_sums(features, (1, 3))
    for activations in (1, 100):  # one image at a time, and two
        monkeypatch.setattr("fig.detectors.gram.CACHED", activations)
        torch.testing.assert_close(row_sums(features, (1, 3)), together)


def test_row_sums_do_not_overflow_where_the_powers_would():
    huge = torch.full((1, 2, 3, 3), 1e6)
    assert torch.isinf(huge**10).all()
    assert row_sums(huge, (10,)).isfinite().all()
    assert row_sums(torch.zeros(1, 2, 3, 3), (1, 10)).eq(0).all()


def test_gram_is_the_authors_deviation(small: Discriminator, stripes: Split, seen: Seen):
    """Minimum and maximum by predicted class, deviations of both ends, over the confidence, each tap in its unit."""
    gram = Gram((1, 2))
    with frozen(small):
        subject = subject_of(small)
        taps = gram.taps(subject)
        scorer = fit_detectors({"": gram}, small, stripes, seed=0)[""]
        full = next(seen_in_turn(small, taps, stripes, torch.arange(40), 40))
    order = torch.randperm(40, generator=generator(0, "held-out"))
    held_out, fit = order[:4], order[4:]
    predicted, confidence = full.logits.argmax(1), full.logits.double().softmax(1).amax(1)
    total = torch.zeros(40, dtype=torch.float64)
    for values in full.kept.values():
        deviation = torch.zeros(40, dtype=torch.float64)
        for image in range(40):
            same = values[fit][predicted[fit] == predicted[image]]
            same = same if len(same) else values[fit]
            low, high, value = same.amin(0), same.amax(0), values[image]
            away = (low - value).relu() / (low + 1e-6).abs() + (value - high).relu() / (high + 1e-6).abs()
            deviation[image] = away.double().sum() / confidence[image]
        total -= deviation / (deviation[held_out].mean() + 1e-7)
    torch.testing.assert_close(scorer.scores(full)[:, 0], total, rtol=1e-3, atol=1e-3)


def test_gram_over_the_test_set_scores_the_images_that_no_draw_normalises_by(small: Discriminator, stripes: Split):
    """The authors' protocol: a tenth of the ID test set gives each tap's unit, metrics are means over ten draws."""
    other = replace(stripes, images=255 - stripes.images)
    detectors = {"gram": Gram((1, 2), normalised_over="test")}
    with frozen(small):
        scorers = fit_detectors(detectors, small, stripes, seed=0)
        grids = {
            "id": score_split(detectors, scorers, small, stripes),
            "other": score_split(detectors, scorers, small, other),
        }
    ids, others = (grids[name].grids["gram"] for name in ("id", "other"))
    found = []
    for number in range(10):
        order = torch.randperm(40, generator=generator(number, "gram")).numpy()
        unit = -ids[order[:4]].mean(axis=0) + 1e-7
        found.append(auroc((ids[order[4:]] / unit).sum(axis=1), (others / unit).sum(axis=1)))
    rows = list(metric_rows(0.9, scorers, {"gram": {"id": ids, "other": others}}))
    (mean,) = (row["value"] for row in rows if row["metric"] == "auroc")
    assert mean == pytest.approx(np.mean(found)) and len(rows) == 9
    together = chosen_scores(scorers, {"gram": {"id": ids}})["gram"]["id"]
    order = torch.randperm(40, generator=generator(0, "gram")).numpy()
    np.testing.assert_allclose(together, (ids / (-ids[order[:4]].mean(axis=0) + 1e-7)).sum(axis=1))
    with pytest.raises(ValueError, match=r"normalised_over is 'ood': it must be one of 'held-out' or 'test'"):
        Gram(normalised_over="ood")


def test_gram_taps_every_convolution_and_rectifier_after_the_first(small: Discriminator):
    names = Gram().taps(subject_of(small.eval()))
    assert "gram.conv1.0" not in names
    assert {"gram.layer1.0.conv2.0", "gram.layer1.0.relu.0", "gram.layer1.0.relu.1"} <= set(names)


def test_the_linear_flow_has_the_density_of_a_multivariate_normal(features):
    values, labels = features
    values = values[:, :4].double()
    moments = Moments.of(3, 4)
    moments.see(values, labels)
    flow = LinearFlow.of(moments.covariance)
    centred = values - moments.means[labels]
    white = flow(centred)
    ours = -0.5 * (white.square().sum(1) + 4 * np.log(2 * np.pi)) + flow.log_determinant
    normal = torch.distributions.MultivariateNormal(torch.zeros(4, dtype=torch.float64), moments.covariance)
    torch.testing.assert_close(ours, normal.log_prob(centred))


def test_constant_features_are_left_out_of_the_linear_flow_and_its_size_is_even(features):
    moments = moments_of(*features)
    assert LinearFlow.of(moments.covariance).matrix.shape == (6, 4)  # five directions vary
    with pytest.raises(ValueError, match="fewer than two directions"):
        LinearFlow.of(torch.zeros(6, 6, dtype=torch.float64))


@pytest.fixture
def flows() -> ResidualFlows:
    """Flows of two classes that are far from the identity."""
    draw = torch.Generator().manual_seed(0)
    flows = ResidualFlows(2, 6, 5, 4, draw).double()
    for parameter in flows.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
    return flows


def test_residual_flows_start_as_the_identity():
    z = torch.randn(2, 7, 6, generator=torch.Generator().manual_seed(0))
    moved, log_determinant = ResidualFlows(2, 6, 6, 10, torch.Generator().manual_seed(0))(z)
    assert log_determinant.eq(0).all()
    torch.testing.assert_close(moved.sort(dim=2).values, z.sort(dim=2).values)  # but for the order of the variables


def test_a_residual_flows_log_determinant_is_its_jacobians(flows: ResidualFlows):
    z = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    _, log_determinant = flows(z)
    for c in range(2):
        for row in range(3):
            move = partial(one_of, flows, z, c, row)
            jacobian = torch.autograd.functional.jacobian(move, z[c, row])
            torch.testing.assert_close(jacobian.det().abs().log(), log_determinant[c, row].detach())


def one_of(flows: ResidualFlows, z: torch.Tensor, c: int, row: int, one: torch.Tensor) -> torch.Tensor:
    """What the flow of class c makes of one row."""
    given = z.clone()
    given[c, row] = one
    return flows(given)[0][c, row]


def test_a_residual_flow_is_the_authors_networks_of_all_variables_with_one_half_masked_out(flows: ResidualFlows):
    z = torch.randn(2, 7, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    first = torch.arange(6) < 3
    for c in range(2):
        row, log_determinant = z[c], torch.zeros(7, dtype=torch.float64)
        for number, coupling in enumerate(flows.couplings):
            moves = first if number % 2 else ~first
            s, t = (torch.zeros_like(row) for _ in range(2))
            shift = [row[:, ~moves].T, row[:, ~moves].T]
            for layer, (weight, bias) in enumerate(zip(coupling.weights, coupling.biases, strict=True)):
                rows = weight.view(2, 2, -1, weight.shape[-1])[c], bias.view(2, 2, -1, 1)[c]
                shift = [w @ into + b for w, into, b in zip(rows[0], shift, rows[1], strict=True)]
                shift = [nn.functional.leaky_relu(each, 0.01) if layer < 2 else each for each in shift]
            s[:, moves], t[:, moves] = (coupling.scale[c] * shift[0].tanh()).T, shift[1].T
            row, log_determinant = (row - t) * (-s).exp(), log_determinant - s.sum(1)
            row = row[:, flows.orders[number // 2]] if number % 2 else row
        density = log_determinant - 0.5 * (row.square().sum(1) + 6 * np.log(2 * np.pi))
        torch.testing.assert_close(flows.log_density(z)[c], density)


def test_a_residual_flows_gradients_are_those_of_its_density(flows: ResidualFlows):
    z = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z, *_: flows.log_density(z), (z, *flows.parameters()))
    (trained,) = torch.autograd.grad(flows.log_density(z).sum(), z)
    (frozen,) = torch.autograd.grad(flows.requires_grad_(False).log_density(z).sum(), z)
    assert frozen.equal(trained)


def test_classes_flows_do_not_know_of_each_other(flows: ResidualFlows):
    z = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    other = z.clone()
    other[1] += 1
    assert flows.log_density(other)[0].equal(flows.log_density(z)[0])


def test_training_a_flow_finds_a_density_that_no_gaussian_has():
    draw = torch.Generator().manual_seed(0)
    first = torch.randn(2000, 1, generator=draw)
    bent = torch.cat([first, first.square() + 0.1 * torch.randn(2000, 1, generator=draw)], dim=1)
    labels = torch.zeros(2000, dtype=torch.long)
    settings = ResidualFlow(epochs=0, hidden=8, learning_rate=1e-3)
    plain, learnt = (fit_residual_flow(bent, labels, 1, replace(settings, epochs=epochs)) for epochs in (0, 30))
    held_out = torch.cat([first, first.square()], dim=1)
    assert learnt.logs(held_out).mean() > plain.logs(held_out).mean() + 0.5


def test_an_epoch_shows_every_feature_of_every_class_once():
    padded = torch.tensor([[0.0, 1, 2, 3, 4], [10, 11, 12, 0, 0]])[:, :, None]
    batches = list(class_batches(padded, torch.tensor([5, 3]), 2, torch.Generator().manual_seed(0)))
    shown = [torch.cat([z[c, there[c] == 1, 0] for z, there in batches]).sort().values for c in range(2)]
    assert shown[0].tolist() == [0, 1, 2, 3, 4] and shown[1].tolist() == [10, 11, 12]


def test_the_setting_is_chosen_by_held_out_training_images_alone(small: Discriminator, stripes: Split):
    """The magnitude is that of the largest mean score of the held-out images, found here by hand."""
    odin = Odin((1, 1000), (0, 0.001, 0.004))
    small.eval()
    with frozen(small):
        scorer = fit_detectors({"": odin}, small, stripes, seed=0)[""]
    held_out = torch.randperm(40, generator=generator(0, "held-out"))[:4]
    means = scores(odin, small, stripes)[held_out.numpy()].mean(0)
    assert scorer.chosen == 3 + int(means[3:].argmax())
    assert scorer.settings[scorer.chosen].startswith("temperature=1000 ")


@pytest.fixture
def cosine(small: Discriminator) -> Discriminator:
    """A discriminator with the head of DeConf-C."""
    return Discriminator(replace(small.architecture, head="deconf"), seed=0).eval()


def cosines(discriminator: Discriminator, inputs: torch.Tensor) -> torch.Tensor:
    """Cosines (B, C) of the features with the classes' directions."""
    head = discriminator.network.fc
    with tap_modules(discriminator.network, {"": Tap("fc", given=True)}) as kept:
        discriminator.network(inputs)
    directions = head.similarity.weight
    return nn.functional.cosine_similarity(kept[""][:, None], directions, dim=2)


def test_deconf_is_the_largest_cosine_after_a_step_along_its_gradients_signs(cosine: Discriminator, stripes: Split):
    detector = Deconf((0, 0.0025, 0.02))
    inputs = next(seen_in_turn(cosine, {}, stripes, torch.arange(40), 40)).inputs.contiguous().requires_grad_()
    largest = cosines(cosine, inputs).amax(1)
    (gradient,) = torch.autograd.grad(largest.sum(), inputs)
    grid = torch.from_numpy(scores(detector, cosine, stripes))
    torch.testing.assert_close(grid[:, 0], largest.detach().double(), rtol=1e-3, atol=1e-3)
    step = torch.where(gradient >= 0, 2.0, -2.0)  # the pixel range [0, 1] is two wide here
    for column, magnitude in enumerate(detector.magnitudes):
        moved = cosines(cosine, inputs + magnitude * step).amax(1).detach().double()
        torch.testing.assert_close(grid[:, column], moved, rtol=1e-2, atol=1e-2)


def test_deconfs_step_raises_the_score_to_first_order(cosine: Discriminator, stripes: Split):
    tiny = 1e-5
    inputs = next(seen_in_turn(cosine, {}, stripes, torch.arange(40), 40)).inputs.double()
    with frozen(cosine.double()):
        scorer = DeconfScorer(Subject(cosine.network, 2, torch.full((3, 1, 1), 2.0), inputs[:1]), (tiny,))
        step = scorer.step(inputs, cosines_of(cosine.network))
        rise = cosines(cosine, inputs + tiny * step).amax(1) - cosines(cosine, inputs).amax(1)
        moving = inputs.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(cosines(cosine, moving).amax(1).sum(), moving)
    expected = 2 * tiny * gradient.abs().flatten(1).sum(1)
    assert (rise > 0).all()
    torch.testing.assert_close(rise, expected, rtol=0.05, atol=0)


def test_deconfs_magnitude_is_chosen_by_held_out_images_alone(cosine: Discriminator, stripes: Split):
    detector = Deconf((0, 0.005, 0.08))
    with frozen(cosine):
        scorer = fit_detectors({"": detector}, cosine, stripes, seed=0)[""]
    held_out = torch.randperm(40, generator=generator(0, "held-out"))[:4]
    assert scorer.chosen == scores(detector, cosine, stripes)[held_out.numpy()].mean(0).argmax()


def test_deconf_refuses_a_discriminator_without_its_head(small: Discriminator, stripes: Split):
    with pytest.raises(ValueError, match="detector  cannot judge the network resnet18: it has no cosine head, which"):
        scores(Deconf(), small, stripes)


def test_a_library_detector_that_asks_for_the_weights_of_logits_refuses_a_head_that_has_none(
    cosine: Discriminator, stripes: Split
):
    pytest.importorskip("pytorch_ood")
    with pytest.raises(
        ValueError, match="needs a last linear layer that gives the logits: this network has another head"
    ):
        scores(LibraryDetector(name="pytorch_ood.detector.ViM", arguments={"d": 4}), cosine, stripes)
    assert np.isfinite(scores(LibraryDetector(name="pytorch_ood.detector.EnergyBased"), cosine, stripes)).all()


def test_taps_take_no_note_of_the_detectors_own_passes(small: Discriminator, stripes: Split):
    small.eval()
    noted = []
    taps = {"": Tap("layer1", lambda features: noted.append(features) or features)}
    for seen in seen_in_turn(small, taps, stripes, torch.arange(40), 20):
        small.network(seen.inputs)
    assert len(noted) == 2


def test_a_library_detector_that_needs_whole_images_is_refused():
    pytest.importorskip("pytorch_ood")
    with pytest.raises(ValueError, match="scores neither logits nor features"):
        LibraryDetector(name="pytorch_ood.detector.ODIN")


def test_images_move_by_units_of_the_pixel_range_with_any_scaling(small: Discriminator):
    assert subject_of(small.eval()).unit.flatten().tolist() == [2, 2, 2]
    assert isinstance(subject_of(small), Subject)
