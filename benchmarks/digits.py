"""Digits, and discriminators that have seen some, for benchmarks that need them."""

from pathlib import Path
from tempfile import TemporaryDirectory

from fig.data.arrays import Split, open_split
from fig.data.augment import Augmentation
from fig.data.catalogue import datasets_of, entries, recipe
from fig.data.prepare import prepare
from fig.discriminator import Architecture, Discriminator
from fig.methods.standard import Standard
from fig.training import TrainingSettings, players_of, train


def write_digits(folder: Path, split: str = "train") -> Path:
    """Prepare the digits in a folder, as the workflow would; returns the array's path."""
    output = folder / "32" / "digits" / f"{split}.npy"
    output.parent.mkdir(parents=True, exist_ok=True)
    prepare(output, [], recipe("digits", split, 32, datasets_of(entries()), own=False))
    return output


def load_digits(split: str = "train") -> Split:
    """The digits, prepared in a folder that is gone: the array stays mapped."""
    with TemporaryDirectory() as folder:
        return open_split(write_digits(Path(folder), split))


def train_some(name: str, data: Split, iterations: int, width: float = 1.0, device: str = "cpu") -> Discriminator:
    """A discriminator on a device after a few iterations on the digits."""
    discriminator = Discriminator(Architecture(name, 10, 32, width)).to(device)
    settings = TrainingSettings(learning_rate=0.02, iterations=iterations)
    players = players_of(discriminator, Standard(), settings, seed=0)
    for _ in train(discriminator, players, data, Standard(), settings, Augmentation(32, 2), seed=0):
        pass
    return discriminator
