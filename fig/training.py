"""The one optimisation loop: every method, from scratch or from a trained discriminator, on one worker or several."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from math import ceil, isfinite

import torch
from torch import Tensor, nn

from fig import parallel
from fig.data.arrays import Split
from fig.data.augment import augment
from fig.data.batches import images_at, labels_of
from fig.discriminator import Discriminator
from fig.methods.batch import Batch
from fig.methods.protocol import NETWORK, Method, Player
from fig.seeding import generator
from fig.settings import Augmentation, TrainingSettings

Row = dict[str, float]


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
    return 0.1 ** bisect_right(settings.milestones, progress)


def optimizer_of(network: nn.Module, settings: TrainingSettings) -> torch.optim.SGD:
    """SGD over all weights, as in the paper's setup; those that a module calls `undecayed` are not decayed."""
    undecayed = [getattr(module, name) for module in network.modules() for name in getattr(module, "undecayed", ())]
    decayed = [weight for weight in network.parameters() if not any(weight is each for each in undecayed)]
    groups = [{"params": decayed}] + [{"params": undecayed, "weight_decay": 0.0}] * bool(undecayed)
    return torch.optim.SGD(groups, settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay)


def players_of(
    discriminator: Discriminator, method: Method, settings: TrainingSettings, seed: int
) -> dict[str, Player]:
    """Who takes part in a training: the discriminator's network and the method's companions, with their optimisers."""
    network, device = discriminator.network, parallel.device()
    companions = method.companions(network, discriminator.shape, generator(seed, "companions"))
    for companion in companions.values():
        companion.module.to(device).to(memory_format=torch.channels_last)
    return {NETWORK: Player(network, optimizer_of(network, settings)), **companions}


def batch_rows(images: int, iteration: int, settings: TrainingSettings, seed: int) -> Tensor:
    """Which images the mini-batch of an iteration holds, over all workers: (B,) from the epoch's permutation."""
    epoch, place = divmod(iteration, iterations_per_epoch(settings, images))
    order = torch.randperm(images, generator=generator(seed, "order", epoch))
    return order[place * settings.batch_size :][: settings.batch_size]


def batch_at(
    discriminator: Discriminator,
    data: Split,
    labels: Tensor,
    augmentation: Augmentation,
    iteration: int,
    settings: TrainingSettings,
    seed: int,
) -> Batch:
    """The mini-batch of an iteration, augmented and scaled."""
    rows = batch_rows(len(data.images), iteration, settings, seed)
    device = parallel.device()
    images = augment(images_at(data, rows).to(device), augmentation, generator(seed, "augment", iteration))
    return Batch(
        discriminator.scaled(images).contiguous(memory_format=torch.channels_last),
        labels[rows].to(device),
        *discriminator.range,
        begins_epoch=iteration % iterations_per_epoch(settings, len(data.images)) == 0,
        rank=parallel.rank(),
        workers=parallel.workers(),
    )


def step(player: Player, loss: Tensor) -> None:
    """Move a player's weights, and nothing else, by its loss summed over the workers."""
    if player.optimizer is None:
        raise ValueError("a loss names a player that has no optimiser: nothing can move it")
    weights = [weight for group in player.optimizer.param_groups for weight in group["params"]]
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights, allow_unused=True), strict=True):
        weight.grad = gradient
    parallel.sum_over_workers(weight.grad for weight in weights if weight.grad is not None)
    player.optimizer.step()
    player.optimizer.zero_grad()


def update(
    players: Mapping[str, Player], method: Method, batch: Batch, noise: torch.Generator, precision: str = "float32"
) -> Row:
    """One step of every player on a batch: the history's row of it, over all workers."""
    for player in players.values():
        player.module.train()
    losses = method.losses({name: player.module for name, player in players.items()}, batch, noise)
    seen: dict[str, Tensor] = {}
    while True:
        with torch.autocast(batch.whole.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = next(losses, None)
        if loss is None:
            break
        name = "loss" if loss.player == NETWORK else f"{loss.player}_loss"
        seen |= {name: loss.value.detach() * batch.workers, **loss.row}
        step(players[loss.player], loss.value)
    values = torch.stack(list(seen.values())).double()
    parallel.sum_over_workers([values])
    return dict(zip(seen, (values / batch.workers).tolist(), strict=True))


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
    from a checkpoint gives the same weights. Raises DivergedError after the row of a loss that is not finite.
    """
    labels = labels_of(data)
    length = iterations_of(settings, len(data.images))
    groups = [group for player in players.values() if player.optimizer for group in player.optimizer.param_groups]
    for iteration in range(start, length):
        for group in groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * decay_at(settings, iteration / length)
        batch = batch_at(discriminator, data, labels, augmentation, iteration, settings, seed)
        noise = generator(seed, "chains", iteration, parallel.device())
        row = update(players, method, batch, noise, settings.precision)
        yield iteration + 1, {"learning_rate": groups[0]["lr"]} | row
        if wild := [f"{name} is {value}" for name, value in row.items() if "loss" in name and not isfinite(value)]:
            raise DivergedError(f"the {' and the '.join(wild)} at iteration {iteration + 1} of {length}")
