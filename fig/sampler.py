"""Low-entropy samples of a discriminator's implicit generator: chains from start to end (Algorithm 1)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fig.folding import fold_network
from fig.frozen import frozen
from fig.langevin import ChainInfo, ChainState, draw_noise, initial, phase_of, start_chains, step
from fig.precision import LOWER, computing, lower_weights
from fig.replay import addresses_of, recordings_of, replays_on
from fig.settings import SamplerSettings

STRIDE = 5  # steps between looks at a GPU's results, each of which makes it wait
FEW = 64  # chains that take a GPU as long as fewer do

Watch = Callable[[ChainState, ChainInfo], None]  # called with the chains before each step, and what the step saw


@dataclass(frozen=True)
class Samples:
    """Low-entropy samples, each as it was when its chain stopped."""

    images: Tensor  # (n, channels, height, width), in [-1, 1]
    confidence: Tensor  # (n,) in [1/C, 1]
    energy: Tensor  # (n,)
    predicted: Tensor  # (n,) class
    steps: Tensor  # (n,) steps taken


@contextmanager
def prepare_network(network: nn.Module, images: Tensor, settings: SamplerSettings) -> Iterator[nn.Module]:
    """Hold a network as sampling wants it: frozen, batch norms folded, in the wanted precision; then restore it."""
    chosen, lower = settings.precision, LOWER.get(settings.precision)
    with (
        frozen(network),
        fold_network(network, images[:1], lower),
        lower_weights(network, lower),
        computing(chosen, images.device),
    ):
        yield network


def move(
    network: nn.Module,
    state: ChainState,
    settings: SamplerSettings,
    generator: torch.Generator,
    steps: int,
    watch: Watch | None = None,
) -> ChainState:
    """Chains some steps on."""
    for _ in range(steps):
        before = state
        state, info = step(network, before, draw_noise(before, generator), settings)
        if watch:
            watch(before, info)
    return state


def replay(
    network: nn.Module, state: ChainState, settings: SamplerSettings, generator: torch.Generator, steps: int
) -> ChainState:
    """Chains some steps on, where `move` brings them; each phase of their way is recorded once and replayed after."""
    name = (state.images.shape, settings, torch.backends.cudnn.deterministic, addresses_of(network))
    recording = recordings_of(network).of(name, [*state.moving(), torch.empty_like(state.images)])
    *places, noise = recording.places
    for number in range(state.step, state.step + steps):

        def one(values: Sequence[Tensor], now: int = number) -> list[Tensor]:
            *moving, noise = values
            return step(network, state.moved(moving, now), noise, settings)[0].moving()

        noise.copy_(draw_noise(state, generator))
        recording.run(phase_of(settings, number), one)
    return state.moved([place.clone() for place in places], state.step + steps)


def advance(
    network: nn.Module,
    state: ChainState,
    settings: SamplerSettings,
    generator: torch.Generator,
    stride: int = 0,
    watch: Watch | None = None,
) -> Iterator[tuple[ChainState, ChainState]]:
    """Move chains on a `prepared` network until all have ended; yields (those that leave, those that stay).

    Every `stride` steps chains that have ended leave the batch: on a CPU all of them, on a GPU half of the batch at a
    time, as `batch_for` says. This changes the speed, and rounding, alone. Raises FloatingPointError where logits or
    gradients are not finite.
    """
    replays = replays_on(state.images.device)
    stride = stride or (STRIDE if replays else 1)
    while len(state.chains):
        steps = min(stride, settings.max_steps + 1 - state.step)
        if replays and watch is None:
            state = replay(network, state, settings, generator, steps)
        else:
            state = move(network, state, settings, generator, steps, watch)
        running, broken = torch.stack([state.running.sum(), (~state.last.finite).sum()]).tolist()
        check_finite(broken, state)
        ended, state = part(state, batch_for(running, len(state.chains)) if replays else running)
        yield ended, state


def batch_for(running: int, chains: int) -> int:
    """Of how many chains a GPU's batch is where so many of its chains run: it is halved, for each size is recorded."""
    while chains > FEW and 2 * running <= chains:
        chains = (chains + 1) // 2
    return chains if running else 0


def part(state: ChainState, count: int) -> tuple[ChainState, ChainState]:
    """Chains that leave and `count` that stay: all that run, and some that have ended where they are fewer."""
    if count == len(state.chains):
        return state.keep(state.chains[:0]), state
    order = (~state.running).int().argsort(stable=True)  # those that run come first
    stay, leave = order[:count].sort().values, order[count:].sort().values
    return state.keep(leave), state.keep(stay)


def sample(
    network: nn.Module,
    count: int,
    shape: tuple[int, int, int],
    settings: SamplerSettings,
    generator: torch.Generator,
    chains: Tensor | None = None,
    stride: int = 0,
    watch: Watch | None = None,
    begin: Tensor | None = None,
) -> Samples:
    """Low-entropy samples of the implicit generator of `network` (Algorithm 1), all in one batch.

    `network` maps images (n, *shape) in [-1, 1] to logits (n, C); it is left exactly as it was. `chains` (n,) selects
    which of the `count` chains to run (all of them unless given), so that workers can share one batch of chains; the
    samples come in increasing order of their chains. `stride` and `watch` are those of `advance`. The chains begin at
    `begin` (count, *shape), in [-1, 1], or at uniform noise unless it is given.
    Raises ValueError where nothing is asked for or the logits are not (n, C), FloatingPointError where they or
    their gradients are not finite.
    """
    if count < 1 or (chains is not None and not len(chains)):
        raise ValueError(f"{count} samples were asked for: at least one is needed")
    chains = torch.arange(count) if chains is None else chains
    chains = chains.to(device_of(network, generator))
    if begin is None:
        state = initial(count, shape, settings, generator, chains)
    else:
        state = start_chains(begin.to(chains.device)[chains], settings, count, chains)
    with prepare_network(network, state.images, settings):
        return assemble_samples([ended for ended, _ in advance(network, state, settings, generator, stride, watch)])


def device_of(network: nn.Module, generator: torch.Generator) -> torch.device:
    """Where the chains of a network move: where its weights are."""
    return next((parameter.device for parameter in network.parameters()), generator.device)


def check_finite(broken: int, state: ChainState) -> None:
    """Raise FloatingPointError, with the step and how many chains, where those of some chains were not finite."""
    if broken:
        raise FloatingPointError(
            f"sampling stopped at step {state.step - 1}: logits or gradients of {broken} of {len(state.chains)} chains "
            "are not finite; the discriminator has diverged"
        )


def assemble_samples(ended: list[ChainState]) -> Samples:
    """Samples in the order of their chains, from the groups in which the chains ended."""
    order = torch.cat([state.chains for state in ended]).argsort()

    def join(values: Iterable[Tensor]) -> Tensor:
        return torch.cat(list(values))[order]

    return Samples(
        images=join(state.see_images() for state in ended),
        confidence=join(state.last.confidence for state in ended),
        energy=join(state.last.energy for state in ended),
        predicted=join(state.last.predicted for state in ended),
        steps=join(state.steps for state in ended),
    )
