"""FIG for any classifier in memory: patch it, probe it, draw what it is confidently wrong about."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from fig.checkpoint import Progress, add_row, key_of, load_checkpoint, save_checkpoint
from fig.feeding import Feed, Images, Labels
from fig.frozen import frozen
from fig.methods.batch import Batch
from fig.methods.implicit_generator import ImplicitGenerator
from fig.methods.protocol import NETWORK, Player
from fig.methods.table import FigSettings
from fig.networks.outputs import as_logits
from fig.normalisation import share_statistics
from fig.sampler import Samples
from fig.sampling import Probe, Request, draw_into, run_probe
from fig.scaling import SYMMETRIC, find_scaling, rescaled
from fig.settings import Augmentation, Finetuning, SamplerSettings
from fig.training import Row, optimizer_of, train_on

SAVE_EVERY = 50  # iterations between two checkpoints


@dataclass(frozen=True)
class Patched:
    """A classifier that FIG has fine-tuned, and how that went."""

    model: nn.Module  # of the kind that was given, in the modes it was in
    history: tuple[
        Row, ...
    ]  # means over iterations: loss, accuracy, confidence on ID images and on low-entropy samples


def device_of_model(model: nn.Module) -> torch.device:
    """Where a model's weights are; raises ValueError where it has none."""
    for weight in model.parameters():
        return weight.device
    raise ValueError(f"{type(model).__name__} has no weights")


def patch(
    model: nn.Module,
    images: Images,
    labels: Labels | None = None,
    settings: FigSettings | None = None,
    training: Finetuning | None = None,
    *,
    scaling: object = SYMMETRIC,
    augmentation: Augmentation | None = None,
    seed: int = 0,
    checkpoints: Path | str | None = None,
    inplace: bool = False,
    progress: bool = True,
) -> Patched:
    """Fine-tune a classifier by FIG (Algorithm 2), so that it is unsure about what it now is confidently wrong about.

    `model` takes images and gives logits, on any device; a copy is trained unless `inplace`. `images` are a loader of
    (images, labels), or all images with their `labels`: uint8, or floats as the model takes them (see
    `fig.feeding.Feed`). `scaling` says how pixels enter the model: (mean, std), or the transform or configuration that
    states them (see `fig.scaling.find_scaling`). `augmentation` crops and mirrors images in memory.

    The defaults are the paper's. With a folder for `checkpoints`, the same call resumes after Ctrl-C: with images in
    memory it ends with identical weights, with a loader it continues with the batches that the loader gives then.
    Raises ValueError for images or models that it cannot train with, DivergedError if a loss is not finite.
    """
    settings, training = settings or FigSettings(), training or Finetuning()
    device, found = device_of_model(model), find_scaling(scaling)
    feed = Feed(images, labels, found, device)
    asked = {"fig": settings, "training": training, "scaling": found, "augmentation": augmentation, "seed": seed}
    folder = Path(checkpoints) if checkpoints is not None else None
    key = key_of(model, asked) if folder else ""
    modes = [module.training for module in model.modules()]
    trained = model if inplace else deepcopy(model)
    source = endless(feed, training.batch_size, seed, augmentation)
    first = next(source)
    check_labels(first[1])
    network = as_logits(rescaled(trained, found), first[0][:1])
    check_classes(network, *first)
    share_statistics(network)
    players = {NETWORK: Player(network, optimizer_of(network, training))}
    state = load_checkpoint(folder, key, players) if folder else Progress()
    rest = endless(feed, training.batch_size, seed, augmentation, state.done) if state.done else chain([first], source)
    length, method = iterations_in(feed, training), ImplicitGenerator(**vars(settings))
    steps = train_on(lambda _: batch_of(*next(rest)), length, players, method, training, seed, device, state.done)

    def save(state: Progress) -> None:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            save_checkpoint(folder, key, players, state)

    state = follow(steps, state, length, training.log_every, save, progress)
    for module, mode in zip(trained.modules(), modes, strict=True):
        module.training = mode
    return Patched(trained, state.rows)


def follow(
    steps: Iterator[tuple[int, Row]],
    state: Progress,
    length: int,
    every: int,
    save: Callable[[Progress], None],
    progress: bool,
) -> Progress:
    """Follow a training to its end with a progress bar; `save` is called every so often, and when it is interrupted."""
    with tqdm(total=length, initial=state.done, desc="patching", unit="iteration", disable=not progress) as bar:
        try:
            for done, row in steps:
                state = add_row(state, done, row, close=done % every == 0 or done == length)
                bar.update()
                if not state.since:
                    shown = {name: state.rows[-1][name] for name in SHOWN if name in state.rows[-1]}
                    bar.set_postfix(shown)
                if done % SAVE_EVERY == 0 or done == length:
                    save(state)
        except KeyboardInterrupt:
            save(state)
            raise
    return state


SHOWN = ("loss", "generated_confidence")


def endless(
    feed: Feed, batch: int, seed: int, augmentation: Augmentation | None, start: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """The labelled batches of one epoch after the other, from an iteration on.

    A loader begins a new epoch at any start. Raises ValueError where an epoch has no batch.
    """
    per_epoch = -(-len(feed) // batch) if feed.in_memory else 0
    epoch, skip = divmod(start, per_epoch) if per_epoch else (0, 0)
    while True:
        pairs = feed.epoch(epoch, batch, seed, augmentation, skip)
        if (first := next(pairs, None)) is None:
            raise ValueError("there are no images: a loader must give a new epoch each time that it is iterated")
        yield first
        yield from pairs
        epoch, skip = epoch + 1, 0


def iterations_in(feed: Feed, training: Finetuning) -> int:
    """Iterations of a fine-tuning; raises ValueError where epochs are asked for of a loader without a length."""
    if training.iterations:
        return training.iterations
    batches = -(-len(feed) // training.batch_size) if feed.in_memory else len(feed)
    if not batches:
        raise ValueError("the loader has no length: state training.iterations instead of epochs")
    return training.epochs * batches


def batch_of(images: Tensor, labels: Tensor) -> Batch:
    """A mini-batch of images in [-1, 1] (B, channels, h, w) with labels (B,)."""
    ones = images.new_ones(images.shape[1], 1, 1)
    return Batch(images, labels, black=-ones, unit=2 * ones)


def check_labels(labels: Tensor) -> None:
    """Raise ValueError where labels are not one class for each image."""
    if labels.ndim != 1 or (len(labels) and int(labels.min()) < 0):
        raise ValueError(f"labels are {tuple(labels.shape)}, from {labels.min()}: one class from 0 up for each image")


def check_classes(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Raise ValueError where a network has no logit for some label of a batch."""
    with frozen(network), torch.no_grad():
        classes = network(images[:1]).shape[1]
    if int(labels.max()) >= classes:
        raise ValueError(f"an image is of class {int(labels.max())}, but the model gives {classes} logits")


def probe(
    model: nn.Module,
    shape: tuple[int, int, int],
    count: int = 256,
    *,
    steps: int = 100,
    settings: SamplerSettings | None = None,
    scaling: object = SYMMETRIC,
    seed: int = 0,
    batch: int = 128,
    progress: bool = True,
) -> Probe:
    """How confident a classifier of images of this shape (channels, h, w) is on its own low-entropy samples.

    `confidence` of the answer is the number that `patch` lowers. Raises what `sample` raises.
    """
    network = ready(model, shape, scaling)
    return run_probe(network, count, shape, steps, settings or SamplerSettings(), seed, batch, progress)


def sample(
    model: nn.Module,
    shape: tuple[int, int, int],
    count: int,
    *,
    settings: SamplerSettings | None = None,
    scaling: object = SYMMETRIC,
    seed: int = 0,
    batch: int = 128,
    wanted: int | None = None,
    unfinished: Path | str | None = None,
    progress: bool = True,
) -> Samples:
    """Images of this shape (channels, h, w) about which a classifier is confidently wrong (Algorithm 1).

    Their pixels lie in [-1, 1], black to white, for any `scaling` of the model. With a `wanted` class, only images
    that are predicted as this class count. With a path for `unfinished`, the same call resumes after Ctrl-C. Raises
    ValueError for a model that gives no logits, FloatingPointError if they are not finite.
    """
    network = ready(model, shape, scaling)
    request = Request(count, shape, settings or SamplerSettings(), seed, batch, wanted)
    return draw_into(network, request, Path(unfinished) if unfinished is not None else None, progress)


def ready(model: nn.Module, shape: tuple[int, int, int], scaling: object) -> nn.Module:
    """A model as a network of images in [-1, 1] of this shape."""
    example = torch.zeros(1, *shape, device=device_of_model(model))
    return as_logits(rescaled(model, find_scaling(scaling)), example)
