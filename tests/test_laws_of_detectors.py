"""What holds for every detector; each one's own formula is tested in test_detectors.py."""

from dataclasses import is_dataclass, replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from fig.data.arrays import Split
from fig.detectors.flows import ResidualFlows
from fig.detectors.protocol import Detector, score_batch
from fig.detectors.residual_flow import ResidualFlow, train_flows
from fig.detectors.table import DETECTORS, build_detector
from fig.discriminator import Discriminator
from fig.evaluation import (
    EvaluationSettings,
    fit_detectors,
    looked_at,
    metric_rows,
    own_rows,
    score_split,
    scores,
    seen_in_turn,
)
from fig.folding import fold_network
from fig.frozen import frozen
from support.workers import run_on_gloo

SMALL = {  # settings that make a detector quick
    "odin": {"temperatures": [1, 1000], "magnitudes": [0, 0.002]},
    "mahalanobis": {"magnitudes": [0, 0.01]},
    "residual_flow": {"magnitudes": [0.01], "epochs": 3, "learning_rate": 0.001, "couplings": 2},
    "deconf": {"magnitudes": [0, 0.01]},
    "gram-test": {"detector": "gram", "normalised_over": "test"},
    "library-energy": {"detector": "pytorch_ood.detector.EnergyBased"},
    "vim": {"detector": "pytorch_ood.detector.ViM", "arguments": {"d": 4}},
    "react": {"detector": "pytorch_ood.detector.ReAct"},
}
ALL = [*DETECTORS, "gram-test", "library-energy", "vim", "react"]


def made(name: str) -> Detector:
    if SMALL.get(name, {}).get("detector", "").startswith("pytorch_ood"):
        pytest.importorskip("pytorch_ood")
    return build_detector(name, SMALL.get(name, {}))


@pytest.fixture
def name() -> str:
    """The detector of a test that is not about each of them."""
    return "baseline"


@pytest.fixture
def trained(name: str, small: Discriminator) -> Discriminator:
    """A discriminator that the detector can judge, whose running statistics have moved."""
    head = "deconf" if name == "deconf" else "linear"
    discriminator = Discriminator(replace(small.architecture, head=head), seed=0).train()
    with torch.no_grad():
        for number in range(5):
            discriminator.network(2 * torch.rand(16, 3, 16, 16, generator=torch.Generator().manual_seed(number)) - 1)
    return discriminator


@pytest.fixture
def others(stripes: Split) -> Split:
    """Images that no detector was fitted to: the stripes' negatives."""
    return replace(stripes, images=255 - stripes.images)


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether scores are equal but for those few images whose step rounding turned, where a gradient is almost 0."""
    return np.isclose(one, other, rtol=1e-3, atol=1e-3 * np.abs(one).max()).mean() >= 0.95


@pytest.mark.parametrize("name", ALL)
def test_a_batch_that_does_not_fit_into_memory_is_fitted_to_and_scored_in_halves(
    name: str, trained: Discriminator, stripes: Split, others: Split
):
    detectors = {name: made(name)}
    few = EvaluationSettings(images=12)

    def crowded(module: torch.nn.Module, given: tuple) -> None:
        if len(given[0]) > (2 if torch.is_grad_enabled() else 5):
            raise torch.OutOfMemoryError("no room")

    with frozen(trained):
        scorers = fit_detectors(detectors, trained, stripes, seed=0)
        roomy = score_split(detectors, scorers, trained, others, few).grids[name]
        with trained.network.register_forward_pre_hook(crowded):
            scorers = fit_detectors(detectors, trained, stripes, seed=0)
            tight = score_split(detectors, scorers, trained, others, few).grids[name]
    assert alike(tight, roomy)


@pytest.mark.parametrize("name", ALL)
def test_an_image_has_one_finite_score_for_each_setting_in_any_batch(
    name: str, trained: Discriminator, stripes: Split, others: Split
):
    detectors = {name: made(name)}
    with frozen(trained):
        scorers = fit_detectors(detectors, trained, stripes, seed=0)
        together = score_split(detectors, scorers, trained, others).grids[name]
        alone = score_split(detectors, scorers, trained, others, EvaluationSettings(batch=3)).grids[name]
    assert together.shape == (40, len(scorers[name].settings)) and together.dtype == np.float64
    assert np.isfinite(together).all() and 0 <= scorers[name].chosen < len(scorers[name].settings)
    assert alike(together, alone)


def score_together(names: list[str], trained: Discriminator, train: Split, others: Split) -> dict[str, np.ndarray]:
    detectors = {name: made(name) for name in names}
    with frozen(trained):
        scorers = fit_detectors(detectors, trained, train, seed=0)
        return dict(score_split(detectors, scorers, trained, others).grids)


@pytest.mark.slow
def test_two_workers_fit_and_score_as_one(trained: Discriminator, stripes: Split, others: Split, tmp_path: Path):
    known = find_spec("pytorch_ood") is not None
    names = [name for name in ALL if name != "deconf" and (name in (*DETECTORS, "gram-test") or known)]
    alone = score_together(names, trained, stripes, others)
    for together in run_on_gloo(2, tmp_path, score_together, names, trained, stripes, others):
        assert together.keys() == set(names)
        assert all(alike(grid, alone[name]) for name, grid in together.items())


@pytest.mark.parametrize("name", ALL)
def test_a_detector_does_not_change_the_discriminator(name: str, trained: Discriminator, stripes: Split):
    before = {key: value.clone() for key, value in trained.state_dict().items()}
    trained.train()
    scores(made(name), trained, stripes)
    assert trained.training and all(p.requires_grad and p.grad is None for p in trained.parameters())
    assert all(value.equal(before[key]) for key, value in trained.state_dict().items())


@pytest.mark.parametrize("name", ALL)
def test_the_batch_in_which_training_images_come_does_not_change_a_detector(
    name: str, trained: Discriminator, stripes: Split, others: Split
):
    detectors = {name: made(name)}
    with frozen(trained):
        fits = (fit_detectors(detectors, trained, stripes, 0, EvaluationSettings(batch)) for batch in (7, 256))
        one, other = (score_split(detectors, scorers, trained, others).grids[name] for scorers in fits)
    assert alike(one, other)


def unreadable(value: object) -> object:
    """The value with its tensors on the meta device, from which nothing can be read: to try raises an error."""
    if isinstance(value, torch.Tensor | torch.nn.Module):
        return value.to("meta")
    if isinstance(value, list | tuple):
        return type(value)(map(unreadable, value))
    if isinstance(value, dict):
        return {key: unreadable(each) for key, each in value.items()}
    for key, each in vars(value).items() if is_dataclass(value) else ():
        object.__setattr__(value, key, unreadable(each))
    return value


@pytest.mark.parametrize("name", DETECTORS)
def test_no_batch_is_waited_for_when_a_detector_is_fitted_or_scores(name: str, trained: Discriminator, stripes: Split):
    """A read of what a GPU computes makes the host wait for it; so a batch is looked at where a read is an error."""
    detector = made(name)
    with frozen(trained):
        scorer = fit_detectors({name: detector}, trained, stripes, seed=0)[name]
        subject, taps = looked_at({name: detector}, trained)
        with fold_network(trained.network, torch.rand(1, 3, 16, 16)):  # what can be folded is found once for a network
            pass
        observer, unread = detector.observer(unreadable(subject)), unreadable(scorer)
        assert trained.device.type == "meta"
        for seen in islice(seen_in_turn(trained, taps, stripes, torch.arange(40), batch=10), 3):
            if observer:
                observer.see(seen, torch.zeros(10, dtype=torch.long, device="meta"))
            assert score_batch(unread, seen).is_meta and score_batch(unread, seen).shape == (10, len(scorer.settings))


def test_no_batch_is_waited_for_when_flows_are_trained(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.optim, "Adam", lambda weights, rate, fused: torch.optim.SGD(weights, rate))
    flows = ResidualFlows(2, 4, 4, 2, torch.Generator()).to("meta")
    padded, counts = torch.zeros(2, 30, 4, device="meta"), torch.tensor([30, 20])
    train_flows(flows, padded, counts, ResidualFlow(epochs=2, batch=8), torch.Generator())
    assert all(weight.grad.is_meta for weight in flows.parameters())


@pytest.mark.parametrize("name", ALL)
def test_activations_that_are_not_finite_are_refused(name: str, trained: Discriminator, stripes: Split):
    torch.nn.init.constant_(trained.network.layer1[0].conv1.weight, float("nan"))
    with pytest.raises(ValueError, match=r"are not finite for some images"):
        scores(made(name), trained, stripes)


@pytest.mark.parametrize("name", ["mahalanobis", "residual_flow", "gram", "gram-test"])
def test_a_class_without_training_images_is_left_out(name: str, trained: Discriminator, stripes: Split):
    one_class = replace(stripes, description=replace(stripes.description, labels=[1] * 40))
    trained.network.fc.bias.data[0] = 1e3  # and one that is never predicted
    assert np.isfinite(scores(made(name), trained, stripes, train=one_class)).all()


def test_detectors_are_named_in_the_configuration_or_refused_in_a_sentence():
    with pytest.raises(ValueError, match=r"detectors\.odinn: unknown detector 'odinn'"):
        build_detector("odinn", {})
    with pytest.raises(ValueError, match=r"detectors\.odin\.steps: unknown key\. Available: temperatures, magnitudes"):
        build_detector("odin", {"steps": 3})
    with pytest.raises(ValueError, match=r"'pytorch_ood\.detector\.Vim' cannot be imported"):
        build_detector("vim", {"detector": "pytorch_ood.detector.Vim"})
    with pytest.raises(ValueError, match=r"mahalanobis\.magnitudes\[0\] is -1: it must be at least 0"):
        build_detector("mahalanobis", {"magnitudes": [-1]})
    assert build_detector("mine", {"detector": "gram", "orders": [1, 2]}).orders == (1, 2)


def test_some_images_are_the_same_ones_for_every_discriminator_and_detector(trained: Discriminator, stripes: Split):
    detectors, few = {"baseline": made("baseline")}, EvaluationSettings(images=15, training_images=20)
    with frozen(trained):
        scorers = fit_detectors(detectors, trained, stripes, 0, few)
        whole, part = (score_split(detectors, scorers, trained, stripes, each) for each in (EvaluationSettings(), few))
    assert len(part.rows) == 15 and part.rows.unique().numel() == 15
    np.testing.assert_allclose(part.grids["baseline"], whole.grids["baseline"][part.rows.numpy()], rtol=1e-5)
    labels = torch.tensor(stripes.description.labels)
    expected = (whole.logits.argmax(1) == labels)[part.rows].double().mean().item()
    assert own_rows(part.logits, labels[part.rows])[0]["value"] == pytest.approx(expected)


class Fixed:
    """A scorer of two settings, the second chosen by ID images."""

    settings, chosen = ("a", "b"), 1


def test_every_metric_of_every_ood_set_is_one_row_for_each_protocol_and_the_whole_grid_is_kept():
    sets = {
        "id": np.array([[2.0, 5], [3, 5]]),
        "far": np.array([[0.0, 5], [1, 5]]),
        "near": np.array([[2.5, 1], [2.6, 1]]),
    }
    rows = list(metric_rows(0.9, {"d": Fixed()}, {"d": sets}))
    values = {(row["ood_dataset"], row["protocol"], row["setting"], row["metric"]): row["value"] for row in rows}
    assert values["far", "oracle", "a", "auroc"] == 1 and values["far", "id-only", "b", "auroc"] == 0.5
    assert values["near", "oracle", "b", "auroc"] == 1 and values["near", "grid", "a", "auroc"] == 0.5
    assert values["far", "oracle", "a", "harmonic_mean"] == pytest.approx(2 * 0.9 / 1.9)
    assert len(rows) == 2 * (2 * 9 + 2)
