"""Langevin dynamics on the implicit generator of a discriminator (Eqs. 17 and 18, Algorithm 1)."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from fig.energy import confidence, energy, energy_gradient
from fig.folding import folded
from fig.frozen import frozen
from fig.precision import computing, lowered, scale_of_rows
from fig.settings import Maker, SamplerSettings

STRIDE = 5  # steps between looks at a GPU's results, each of which makes it wait


def step_size_at(settings: SamplerSettings, step: int) -> float:
    """Step size of the step that follows `step` earlier ones (Eq. 17)."""
    return settings.step_size * settings.decay ** (step // settings.decay_period)


def noise_deviation(settings: SamplerSettings, step_size: float) -> float:
    """Standard deviation of the noise in a step of this size."""
    deviations: dict[str, float] = {"variance": step_size**0.5, "deviation": step_size, "none": 0.0}
    return deviations[settings.noise]


@dataclass(frozen=True)
class ChainInfo:
    """What a step saw of the images it started from."""

    confidence: Tensor  # (n,) in [1/C, 1]
    energy: Tensor  # (n,)
    predicted: Tensor  # (n,) class
    finite: Tensor  # (n,) whether logits and gradient were


@dataclass(frozen=True)
class ChainState:
    """Chains on their way, and those that ended since they were last looked at: what the next step needs."""

    images: Tensor  # (n, channels, height, width), in [-1, 1]
    chains: Tensor  # (n,) which of the `count` chains these are
    recent: Tensor  # (n, 2 * window) confidences last seen, newest last; NaN where there was none yet
    running: Tensor  # (n,) whether the chain still moves
    steps: Tensor  # (n,) steps that the chain has taken
    last: ChainInfo  # of the images where a chain has ended, of those one step before where it runs
    count: int  # chains that were started, running or not: noise is drawn for all of them
    step: int  # steps taken by those that run

    def keep(self, wanted: Tensor) -> "ChainState":
        """The chains for which `wanted` (n,) is true."""
        last = ChainInfo(*(value[wanted] for value in vars(self.last).values()))
        names = ("images", "chains", "recent", "running", "steps")
        return replace(self, last=last, **{name: getattr(self, name)[wanted] for name in names})


@dataclass(frozen=True)
class Samples:
    """Low-entropy samples, each as it was when its chain stopped."""

    images: Tensor  # (n, channels, height, width), in [-1, 1]
    confidence: Tensor  # (n,) in [1/C, 1]
    energy: Tensor  # (n,)
    predicted: Tensor  # (n,) class
    steps: Tensor  # (n,) steps taken


def noise_of(draw: Maker[Tensor], shape: tuple[int, ...], count: int, generator: torch.Generator) -> Tensor:
    """One draw for each of the `count` chains: (count, channels, height, width)."""
    return draw((count, *shape), generator=generator, device=generator.device)


def initial(
    count: int, shape: tuple[int, ...], settings: SamplerSettings, generator: torch.Generator, chains: Tensor
) -> ChainState:
    """Chains at x0 ~ U(-1, 1), drawn for all `count` of them and then indexed by `chains` (n,)."""
    uniform = noise_of(torch.rand, shape, count, generator)
    images = (2 * uniform - 1).to(chains.device)[chains].contiguous(memory_format=torch.channels_last)
    return started(images, settings, count, chains)


def started(images: Tensor, settings: SamplerSettings, count: int, chains: Tensor) -> ChainState:
    """Chains that start at `images` (n, channels, height, width).

    Raises ValueError where there is none, or a pixel lies outside [-1, 1], the range in which chains move.
    """
    if not len(images):
        raise ValueError("no image was given for a chain to start at")
    lowest, highest = images.min(), images.max()
    if not (lowest >= -1 and highest <= 1):
        raise ValueError(f"chains start at pixels between {lowest:.3g} and {highest:.3g}: they must lie in [-1, 1]")
    recent = images.new_full((len(chains), 2 * settings.window), torch.nan)
    running, none, zeros = torch.ones_like(chains, dtype=torch.bool), recent[:, 0], torch.zeros_like(chains)
    return ChainState(images, chains, recent, running, zeros, ChainInfo(none, none, zeros, running), count, step=0)


def forward(network: nn.Module, images: Tensor, traced: bool = True) -> tuple[Tensor, Tensor]:
    """The images as a leaf of the autograd graph, and their logits (n, C); where not `traced`, without a graph."""
    with torch.set_grad_enabled(traced):
        leaf = images.detach().requires_grad_(traced)
        logits = network(leaf)
    if logits.ndim != 2 or len(logits) != len(images):
        raise ValueError(f"the discriminator's logits have shape {tuple(logits.shape)}, not (batch, classes)")
    return leaf, logits


def backward(leaf: Tensor, logits: Tensor, c: float) -> Tensor:
    """The energy's gradient by the images: (n, channels, height, width), from a traced forward pass."""
    towards = energy_gradient(logits.detach().float(), c)  # (n, C)
    if logits.dtype != torch.float16:
        return torch.autograd.grad(logits, leaf, towards.to(logits.dtype))[0]
    scale = scale_of_rows(towards)
    return torch.autograd.grad(logits, leaf, (towards * scale).half())[0] / scale[:, :, None, None]


def logits_and_gradient(network: nn.Module, images: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """Logits (n, C) and the energy's gradient by the images (n, channels, height, width), from one forward pass."""
    leaf, logits = forward(network, images)
    return logits.detach().float(), backward(leaf, logits, c)


def step(
    generator: torch.Generator, network: nn.Module, state: ChainState, settings: SamplerSettings
) -> tuple[ChainState, ChainInfo]:
    """One Langevin step (Eq. 18): x <- clip(x - eps/2 sign(grad E(x)) + z, -1, 1), z ~ N(0, eps I).

    Noise is drawn for every chain that was started and then indexed, so a chain sees the same noise whatever
    happens to its neighbours. The confidence is that of the images before the step, from the same forward pass;
    a chain that it makes stop keeps those images.
    """
    leaf, traced = forward(network, state.images, traced=state.step < settings.max_steps)
    logits = traced.detach().float()
    confidences = confidence(logits)
    recent = torch.cat([state.recent[:, 1:], confidences[:, None]], dim=1)
    running = state.running & ~stopped(recent, confidences, state.step, settings)
    goes_on = leaf.requires_grad and may_run(running)
    gradient = backward(leaf, traced, settings.c) if goes_on else torch.zeros_like(leaf)
    finite = logits.isfinite().all(dim=1) & gradient.flatten(1).isfinite().all(dim=1)
    info = ChainInfo(confidences, energy(logits, settings.c), logits.argmax(dim=1), finite)
    step_size = step_size_at(settings, state.step)
    noise = noise_of(torch.randn, state.images.shape[1:], state.count, generator).to(state.images)[state.chains]
    moved = state.images - step_size / 2 * gradient.sign() + noise_deviation(settings, step_size) * noise
    after = replace(
        state,
        images=torch.where(running[:, None, None, None], moved.clamp(-1, 1), state.images),
        recent=recent,
        running=running,
        steps=state.steps + running,
        last=seen_last(state, info),
        step=state.step + 1,
    )
    return after, info


def may_run(running: Tensor) -> bool:
    """Whether a chain may still run. A GPU is not asked, for the answer takes waiting."""
    return running.device.type != "cpu" or bool(running.any())


def seen_last(state: ChainState, info: ChainInfo) -> ChainInfo:
    """What is known of each chain: anew where it was running, as before where it had ended; what broke stays so."""
    values = {name: torch.where(state.running, value, getattr(state.last, name)) for name, value in vars(info).items()}
    return ChainInfo(**values | {"finite": values["finite"] & state.last.finite})


def converged(recent: Tensor, settings: SamplerSettings) -> Tensor:
    """Which chains' confidence has converged: (n, 2 * window) confidences -> (n,).

    A single step's confidence jumps with its noise, so means are compared: a chain has converged when the mean over
    the last `window` steps differs from the mean over the `window` before by less than `tolerance`. With the paper's
    T in [10, 100], two windows of five are the ten steps that every chain takes.
    """
    before, last = recent[:, : settings.window].mean(dim=1), recent[:, settings.window :].mean(dim=1)
    return (last - before).abs() < settings.tolerance


def stopped(recent: Tensor, confidences: Tensor, steps: int, settings: SamplerSettings) -> Tensor:
    """Which chains end at the images with these confidences (n,), to which `steps` steps led: -> (n,)."""
    if steps >= settings.max_steps:
        return torch.ones_like(confidences, dtype=torch.bool)
    if steps < settings.min_steps:
        return torch.zeros_like(confidences, dtype=torch.bool)
    if settings.stop == "batch":
        return (confidences.mean() > settings.confident).expand(len(confidences))
    return converged(recent, settings)


def stopping_steps(confidences: Tensor, settings: SamplerSettings) -> Tensor:
    """Where chains that were followed without a stop would have been stopped: (n, steps + 1) confidences -> (n,)."""
    recent = torch.full((len(confidences), 2 * settings.window), torch.nan)
    steps = torch.full((len(confidences),), confidences.shape[1] - 1)
    running = torch.ones_like(steps, dtype=torch.bool)
    for taken, confidence_now in enumerate(confidences.T):
        recent = torch.cat([recent[:, 1:], confidence_now[:, None]], dim=1)
        stops = running & stopped(recent, confidence_now, taken, settings)
        steps[stops] = taken
        running &= ~stops
    return steps


@contextmanager
def prepared(network: nn.Module, images: Tensor, settings: SamplerSettings) -> Iterator[nn.Module]:
    """Hold a network as sampling wants it: frozen, batch norms folded, in the wanted precision; then restore it."""
    chosen = settings.precision
    with frozen(network), folded(network, images[:1]), lowered(network, chosen), computing(chosen, images.device):
        yield network


Watch = Callable[[ChainState, ChainInfo], None]  # told of the chains before each step, and of what the step saw


def advance(
    network: nn.Module,
    state: ChainState,
    settings: SamplerSettings,
    generator: torch.Generator,
    stride: int = 0,
    watch: Watch | None = None,
) -> Iterator[tuple[ChainState, ChainState]]:
    """Move chains on a `prepared` network until all have ended; yields (those just ended, those that still run).

    Chains that have ended leave the batch every `stride` steps, which changes the speed, and rounding, alone. Raises
    FloatingPointError where logits or gradients are not finite.
    """
    stride = stride or (1 if state.images.device.type == "cpu" else STRIDE)
    while len(state.chains):
        for _ in range(stride):
            before = state
            state, info = step(generator, network, before, settings)
            if watch:
                watch(before, info)
        check_finite(state)
        ended, state = state.keep(~state.running), state.keep(state.running)
        yield ended, state


def sample(
    network: nn.Module,
    count: int,
    shape: tuple[int, int, int],
    settings: SamplerSettings,
    generator: torch.Generator,
    chains: Tensor | None = None,
    stride: int = 0,
    watch: Watch | None = None,
) -> Samples:
    """Low-entropy samples of the implicit generator of `network` (Algorithm 1), all in one batch.

    `network` maps images (n, *shape) in [-1, 1] to logits (n, C); it is left exactly as it was. `chains` (n,) selects
    which of the `count` chains to run (all of them unless given), so that workers can share one batch of chains; the
    samples come in increasing order of their chains. `stride` and `watch` are those of `advance`.
    Raises ValueError where nothing is asked for or the logits are not (n, C), FloatingPointError where they or
    their gradients are not finite.
    """
    if count < 1 or (chains is not None and not len(chains)):
        raise ValueError(f"{count} samples were asked for: at least one is needed")
    chains = torch.arange(count) if chains is None else chains
    state = initial(count, shape, settings, generator, chains.to(device_of(network, generator)))
    with prepared(network, state.images, settings):
        return assembled([ended for ended, _ in advance(network, state, settings, generator, stride, watch)])


def device_of(network: nn.Module, generator: torch.Generator) -> torch.device:
    """Where the chains of a network move: where its weights are."""
    return next((parameter.device for parameter in network.parameters()), generator.device)


def check_finite(state: ChainState) -> None:
    """Raise FloatingPointError, with the step and how many chains, where logits or gradients were not finite."""
    broken = int((~state.last.finite).sum())
    if broken:
        raise FloatingPointError(
            f"sampling stopped at step {state.step - 1}: logits or gradients of {broken} of {len(state.chains)} chains "
            "are not finite; the discriminator has diverged"
        )


def assembled(ended: list[ChainState]) -> Samples:
    """Samples in the order of their chains, from the groups in which the chains ended."""
    order = torch.cat([state.chains for state in ended]).argsort()

    def joined(values: Iterable[Tensor]) -> Tensor:
        return torch.cat(list(values))[order]

    return Samples(
        images=joined(state.images for state in ended),
        confidence=joined(state.last.confidence for state in ended),
        energy=joined(state.last.energy for state in ended),
        predicted=joined(state.last.predicted for state in ended),
        steps=joined(state.steps for state in ended),
    )
