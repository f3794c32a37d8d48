"""The training loop: its schedule, its batches, and that stopping and starting again changes nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fig.checkpoint import load_checkpoint, save_checkpoint
from fig.data.arrays import Split
from fig.data.augment import Augmentation
from fig.discriminator import Discriminator
from fig.methods.standard import Standard
from fig.methods.table import METHODS
from fig.sampler import SamplerSettings
from fig.training import DivergedError, TrainingSettings, batch_rows, optimizer_of, train

SETTINGS = TrainingSettings(learning_rate=0.05, iterations=7, batch_size=16)
AUGMENTATION = Augmentation(size=16, padding=1, flip=True)


def method_named(name: str):
    method = METHODS[name]()
    return replace(method, sampler=SamplerSettings(max_steps=11)) if hasattr(method, "sampler") else method


def trained(discriminator: Discriminator, data: Split, method, folder: Path, stop: int = 7, key: str = "key"):
    """Train from the checkpoint in `folder`, if there is one, to iteration `stop`, and leave one there."""
    optimizer = optimizer_of(discriminator, SETTINGS)
    start, rows = load_checkpoint(folder, key, discriminator, optimizer)
    for done, row in train(discriminator, optimizer, data, method, SETTINGS, AUGMENTATION, seed=0, start=start):
        rows.append(row)
        if done == stop:
            save_checkpoint(folder, key, discriminator, optimizer, done, rows)
            break
    return discriminator.state_dict(), rows


@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_training_gives_the_same_weights_and_history(
    name: str, small: Discriminator, stripes: Split, tmp_path: Path
):
    undisturbed, history = trained(Discriminator(small.architecture), stripes, method_named(name), tmp_path / "a")
    trained(small, stripes, method_named(name), tmp_path / "b", stop=3)
    fresh = Discriminator(small.architecture, seed=9)
    resumed, resumed_history = trained(fresh, stripes, method_named(name), tmp_path / "b")
    assert all(value.equal(resumed[key]) for key, value in undisturbed.items())
    assert history == resumed_history and len(history) == 7


def test_a_checkpoint_of_another_job_is_refused(small: Discriminator, stripes: Split, tmp_path: Path):
    trained(small, stripes, Standard(), tmp_path, stop=2)
    with pytest.raises(ValueError, match="belongs to job key, not to other: delete it"):
        trained(small, stripes, Standard(), tmp_path, key="other")


def test_training_learns(small: Discriminator, stripes: Split):
    settings = replace(SETTINGS, iterations=30)
    augmentation = Augmentation(16)
    rows = [r for _, r in train(small, optimizer_of(small, settings), stripes, Standard(), settings, augmentation, 0)]
    assert rows[-1]["loss"] < 0.2 * rows[0]["loss"] and rows[-1]["accuracy"] > 0.95


def test_a_loss_that_is_not_finite_stops_the_training(small: Discriminator, stripes: Split):
    wild = replace(SETTINGS, learning_rate=1e20)
    with pytest.raises(DivergedError, match=r"the loss is (nan|inf) at iteration \d of 7"):
        list(train(small, optimizer_of(small, wild), stripes, Standard(), wild, AUGMENTATION, 0))


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own():
    epochs = [torch.cat([batch_rows(40, i, SETTINGS, 0) for i in range(e * 3, e * 3 + 3)]) for e in (0, 1)]
    assert all(epoch.sort().values.equal(torch.arange(40)) for epoch in epochs)
    assert not epochs[0].equal(epochs[1])


def test_the_learning_rate_falls_tenfold_at_each_milestone():
    settings = TrainingSettings(learning_rate=0.1, epochs=10, milestones=(0.5, 0.75))
    rates = [settings.learning_rate_at(progress) for progress in (0, 0.49, 0.5, 0.74, 0.75, 0.99)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    assert settings.length(1000) == 80


def test_a_length_is_asked_for_once():
    for stated in ({}, {"epochs": 1, "iterations": 1}):
        with pytest.raises(ValueError, match="exactly one must be above 0"):
            TrainingSettings(learning_rate=0.1, **stated)
