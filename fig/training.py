"""The one optimisation loop: every method, from scratch or from a trained discriminator, on one worker or several."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from math import ceil, cos, isfinite, pi

import torch
from torch import Tensor, nn

from fig import parallel
from fig.data.arrays import Split
from fig.data.augment import augment
from fig.data.batches import Source, source_on
from fig.discriminator import Discriminator
from fig.exchange import summed_gradients
from fig.methods.batch import Batch
from fig.methods.protocol import NETWORK, Method, Player
from fig.normalisation import share_statistics
from fig.precision import computing, scale_of
from fig.seeding import generator
from fig.settings import Augmentation, Precision, TrainingSettings

Row = Mapping[str, int | float]  # an iteration is whole


class Reading(Row):
    """Values by name that a device may still be computing: to read one is to wait for it."""

    def __init__(self, names: Sequence[str], values: Tensor, known: Row) -> None:
        """Values (k,) under their names, in addition to those that are known already."""
        self.names, self.computed, self.known = names, values, known

    @cached_property
    def read(self) -> dict[str, float]:
        """All of them."""
        return {**self.known, **dict(zip(self.names, self.computed.tolist(), strict=True))}

    def __getitem__(self, name: str) -> float:
        return self.read[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*self.known, *self.names))

    def __len__(self) -> int:
        return len(self.known) + len(self.names)


class DivergedError(ArithmeticError):
    """A loss is no longer finite; the rows so far, its own the last, are in the history."""


def iterations_of(settings: TrainingSettings, images: int) -> int:
    """Iterations of a whole training, for a training set of this many images."""
    return settings.iterations or settings.epochs * iterations_per_epoch(settings, images)


def iterations_per_epoch(settings: TrainingSettings, images: int) -> int:
    """Iterations in an epoch; the last batch of an epoch may be smaller."""
    return ceil(images / settings.batch_size)


def decay_at(settings: TrainingSettings, progress: float) -> float:
    """The factor of learning rates when this share, in [0, 1), of the training is done."""
    if settings.cosine_to is not None:
        lowest = settings.cosine_to / settings.learning_rate
        return lowest + (1 - lowest) * (1 + cos(pi * progress)) / 2
    return 0.1 ** bisect_right(settings.milestones, progress)


def optimizer_of(network: nn.Module, settings: TrainingSettings) -> torch.optim.SGD:
    """SGD over all weights, as in the paper's setup; those that a module calls `undecayed` are not decayed.

    Weights that need no gradient are left as they are. Raises ValueError where that is all of them.
    """
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    without = [getattr(module, name) for module in network.modules() for name in getattr(module, "undecayed", ())]
    undecayed = [weight for weight in trained if any(weight is each for each in without)]
    decayed = [weight for weight in trained if not any(weight is each for each in without)]
    if not trained:
        raise ValueError("no weight of the network needs a gradient: there is nothing to train")
    groups = [{"params": decayed}] + [{"params": undecayed, "weight_decay": 0.0}] * bool(undecayed)
    fused = all(weight.is_cuda for weight in trained)  # one launch for all weights
    return torch.optim.SGD(
        groups,
        settings.learning_rate,
        settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.nesterov,
        fused=fused or None,
    )


def players_of(
    discriminator: Discriminator, method: Method, settings: TrainingSettings, seed: int
) -> dict[str, Player]:
    """Who takes part in a training: the discriminator's network and the method's companions, with their optimisers."""
    network = discriminator.network
    companions = method.companions(network, discriminator.shape, generator(seed, "companions"))
    for companion in companions.values():
        companion.module.to(discriminator.device).to(memory_format=torch.channels_last)
    players = {NETWORK: Player(network, optimizer_of(network, settings)), **companions}
    for player in players.values():
        share_statistics(player.module)
    return players


def batch_rows(images: int, iteration: int, settings: TrainingSettings, seed: int) -> Tensor:
    """Which images the mini-batch of an iteration holds, over all workers: (B,) from the epoch's permutation."""
    epoch, place = divmod(iteration, iterations_per_epoch(settings, images))
    return order_of(images, epoch, seed)[place * settings.batch_size :][: settings.batch_size]


@lru_cache(maxsize=1)  # an epoch asks for it in every iteration
def order_of(images: int, epoch: int, seed: int) -> Tensor:
    """The order in which an epoch shows the images: (N,)."""
    return torch.randperm(images, generator=generator(seed, "order", epoch))


def batch_at(
    discriminator: Discriminator,
    source: Source,
    augmentation: Augmentation,
    iteration: int,
    settings: TrainingSettings,
    seed: int,
) -> Batch:
    """The mini-batch of an iteration, augmented and scaled."""
    images, labels = source.take(batch_rows(len(source), iteration, settings, seed))
    images = augment(images, augmentation, generator(seed, "augment", iteration))
    return Batch(
        discriminator.scaled(images).contiguous(memory_format=torch.channels_last),
        labels,
        *discriminator.range,
        begins_epoch=iteration % iterations_per_epoch(settings, len(source)) == 0,
        rank=parallel.rank(),
        workers=parallel.workers(),
        sum_over_workers=parallel.sum_over_workers,
    )


def step(player: Player, loss: Tensor, scale: float = 1.0) -> None:
    """Move a player's weights, and nothing else, by its loss summed over the workers.

    Gradients are computed of the loss times a `scale`, and divided by it.
    """
    if player.optimizer is None:
        raise ValueError("a loss names a player that has no optimiser: nothing can move it")
    weights = [weight for group in player.optimizer.param_groups for weight in group["params"]]
    with summed_gradients(weights):
        torch.autograd.backward(loss * scale, inputs=weights)
    if scale != 1:
        torch._foreach_div_([weight.grad for weight in weights if weight.grad is not None], scale)
    player.optimizer.step()
    player.optimizer.zero_grad()


def update(
    players: Mapping[str, Player],
    method: Method,
    batch: Batch,
    noise: torch.Generator,
    precision: Precision = "float32",
    deterministic: bool = False,
    known: Row | None = None,
) -> Row:
    """One step of every player on a batch: the losses, and the means over all workers' images of what they reported."""
    for player in players.values():
        player.module.train()
    losses = method.losses({name: player.module for name, player in players.items()}, batch, noise)
    found: dict[str, Tensor] = {}  # scalars of this worker, whose sum over workers is wanted
    reported: dict[str, Tensor] = {}
    while True:
        with computing(precision, batch.whole.device, deterministic):
            loss = next(losses, None)
            if loss is None:
                break
            name = "loss" if loss.player == NETWORK else f"{loss.player}_loss"
            found[name] = loss.value.detach()
            reported |= loss.row
            with torch.autocast(batch.whole.device.type, enabled=False):
                step(players[loss.player], loss.value, scale_of(precision))
    sums = torch.stack([value.double().sum() for value in (*found.values(), *reported.values())])
    counts = sums.new_tensor([value.numel() for value in reported.values()])
    parallel.sum_over_workers([sums, counts])
    values = torch.cat([sums[: len(found)], sums[len(found) :] / counts])
    return Reading([*found, *reported], values, known or {})


def train(
    discriminator: Discriminator,
    players: Mapping[str, Player],
    data: Split,
    method: Method,
    settings: TrainingSettings,
    augmentation: Augmentation,
    seed: int,
    start: int = 0,
) -> Iterator[tuple[int, Row]]:
    """Train in place from iteration `start` on; yields (iterations done, row) after each iteration.

    Every batch, crop and chain depends on `seed` and the iteration alone, so training that stops and starts again
    from a checkpoint gives the same weights. Rows are read, which waits for the device, every `log_every` iterations.
    Raises DivergedError after the row in which a loss that is not finite was found.
    """
    source = source_on(data, discriminator.device)

    def batch_of(iteration: int) -> Batch:
        return batch_at(discriminator, source, augmentation, iteration, settings, seed)

    length = iterations_of(settings, len(data.images))
    yield from train_on(batch_of, length, players, method, settings, seed, discriminator.device, start)


def train_on(
    batch_of: Callable[[int], Batch],
    length: int,
    players: Mapping[str, Player],
    method: Method,
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
    start: int = 0,
) -> Iterator[tuple[int, Row]]:
    """Train in place on what `batch_of` gives for each of `length` iterations; yields and raises as `train` does."""
    groups = [group for player in players.values() if player.optimizer for group in player.optimizer.param_groups]
    unread: dict[int, Row] = {}
    for iteration in range(start, length):
        for group in groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * decay_at(settings, iteration / length)
        noise = generator(seed, "chains", iteration, device)
        known = {"learning_rate": groups[0]["lr"]}
        try:
            batch = batch_of(iteration)
            row = update(players, method, batch, noise, settings.precision, settings.deterministic, known)
        except FloatingPointError:  # of a sampler: the network had diverged already
            check_losses(unread, length)
            raise
        unread[iteration + 1] = row
        yield iteration + 1, row
        if (iteration + 1) % settings.log_every == 0 or iteration + 1 == length:
            check_losses(unread, length)
            unread.clear()


def check_losses(rows: Mapping[int, Row], length: int) -> None:
    """Raise DivergedError for the first of the rows, by iteration, in which a loss is not finite."""
    for iteration, row in rows.items():
        if wild := [f"{name} is {value}" for name, value in row.items() if "loss" in name and not isfinite(value)]:
            raise DivergedError(f"the {' and the '.join(wild)} at iteration {iteration} of {length}")
