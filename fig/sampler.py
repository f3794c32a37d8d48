"""Langevin dynamics on the implicit generator of a discriminator (Eqs. 17 and 18, Algorithm 1)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from fig.energy import NARROWING, confidence, energy, energy_gradient
from fig.frozen import frozen


@dataclass(frozen=True)
class SamplerSettings:
    """How chains move and when they stop; the defaults are the paper's.

    `noise` says what the step size is of the noise: its `variance` (Eq. 18), its standard `deviation` (the authors'
    code), or nothing (`none`). `stop` says who stops: each `chain` when its confidence has converged, or the whole
    `batch` when its mean confidence exceeds `confident` (the authors' code).
    """

    step_size: float = 0.1
    decay: float = 0.9
    decay_period: int = 100
    noise: Literal["variance", "deviation", "none"] = "variance"
    stop: Literal["chain", "batch"] = "chain"
    min_steps: int = 10
    max_steps: int = 100
    window: int = 5
    tolerance: float = 0.02
    confident: float = 0.9
    c: float = NARROWING

    def __post_init__(self) -> None:
        for name in ("step_size", "decay", "decay_period", "window", "c"):
            if getattr(self, name) <= 0:
                raise ValueError(f"sampler.{name} is {getattr(self, name)}: it must be above 0")
        if not 0 <= self.min_steps <= self.max_steps:
            raise ValueError(f"sampler.min_steps is {self.min_steps}: it must lie in [0, max_steps = {self.max_steps}]")

    def step_size_at(self, step: int) -> float:
        """Step size of the step that follows `step` earlier ones (Eq. 17)."""
        return self.step_size * self.decay ** (step // self.decay_period)

    def noise_deviation(self, step_size: float) -> float:
        """Standard deviation of the noise in a step of this size."""
        return {"variance": step_size**0.5, "deviation": step_size, "none": 0.0}[self.noise]


@dataclass(frozen=True)
class ChainState:
    """Chains on their way: what the next step needs."""

    images: Tensor  # (n, channels, height, width), in [-1, 1]
    chains: Tensor  # (n,) which of the `count` chains these are
    recent: Tensor  # (n, 2 * window) confidences last seen, newest last; NaN where there was none yet
    count: int  # chains that were started, running or not: noise is drawn for all of them
    step: int  # steps taken

    def keep(self, running: Tensor) -> "ChainState":
        """The chains for which `running` (n,) is true."""
        return replace(self, images=self.images[running], chains=self.chains[running], recent=self.recent[running])


@dataclass(frozen=True)
class ChainInfo:
    """What a step saw of the images it started from."""

    confidence: Tensor  # (n,) in [1/C, 1]
    energy: Tensor  # (n,)
    predicted: Tensor  # (n,) class


@dataclass(frozen=True)
class Samples:
    """Low-entropy samples, each as it was when its chain stopped."""

    images: Tensor  # (n, channels, height, width), in [-1, 1]
    confidence: Tensor  # (n,) in [1/C, 1]
    energy: Tensor  # (n,)
    predicted: Tensor  # (n,) class
    steps: Tensor  # (n,) steps taken


def noise_of(draw: Callable[..., Tensor], state_shape: torch.Size, count: int, generator: torch.Generator) -> Tensor:
    """One draw for each of the `count` chains: (count, channels, height, width)."""
    return draw((count, *state_shape), generator=generator, device=generator.device)


def initial(
    count: int, shape: tuple[int, ...], settings: SamplerSettings, generator: torch.Generator, chains: Tensor
) -> ChainState:
    """Chains at x0 ~ U(-1, 1), drawn for all `count` of them and then indexed by `chains` (n,)."""
    uniform = noise_of(torch.rand, torch.Size(shape), count, generator)
    images = (2 * uniform - 1).to(chains.device)[chains].contiguous(memory_format=torch.channels_last)
    recent = images.new_full((len(chains), 2 * settings.window), torch.nan)
    return ChainState(images, chains, recent, count, step=0)


def logits_and_gradient(network: nn.Module, images: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """Logits (n, C) and the energy's gradient by the images (n, channels, height, width), from one forward pass."""
    with torch.enable_grad():
        images = images.detach().requires_grad_()
        logits = network(images)
        if logits.ndim != 2 or len(logits) != len(images):
            raise ValueError(f"the discriminator's logits have shape {tuple(logits.shape)}, not (batch, classes)")
        (gradient,) = torch.autograd.grad(logits, images, grad_outputs=energy_gradient(logits.detach(), c))
    return logits.detach(), gradient


def check_finite(values: Tensor, step: int) -> None:
    """Raise FloatingPointError naming the step and how many chains have values (n, ...) that are not finite."""
    broken = ~values.flatten(1).isfinite().all(dim=1)
    if broken.any():
        raise FloatingPointError(
            f"sampling stopped at step {step}: logits or gradients of {int(broken.sum())} of {len(values)} chains "
            "are not finite; the discriminator has diverged"
        )


def step(
    generator: torch.Generator, network: nn.Module, state: ChainState, settings: SamplerSettings
) -> tuple[ChainState, ChainInfo]:
    """One Langevin step (Eq. 18): x <- clip(x - eps/2 sign(grad E(x)) + z, -1, 1), z ~ N(0, eps I).

    Noise is drawn for every chain that was started and then indexed, so a chain sees the same noise whatever
    happens to its neighbours. The confidence is that of the images before the step, from the same forward pass.
    """
    logits, gradient = logits_and_gradient(network, state.images, settings.c)
    check_finite(torch.cat([logits, gradient.flatten(1)], dim=1), state.step)
    step_size = settings.step_size_at(state.step)
    noise = noise_of(torch.randn, state.images.shape[1:], state.count, generator).to(state.images)[state.chains]
    moved = state.images - step_size / 2 * gradient.sign() + settings.noise_deviation(step_size) * noise
    seen = confidence(logits)
    recent = torch.cat([state.recent[:, 1:], seen[:, None]], dim=1)
    after = replace(state, images=moved.clamp(-1, 1), recent=recent, step=state.step + 1)
    return after, ChainInfo(seen, energy(logits, settings.c), logits.argmax(dim=1))


def converged(recent: Tensor, settings: SamplerSettings) -> Tensor:
    """Which chains' confidence has converged: (n, 2 * window) confidences -> (n,).

    A single step's confidence jumps with its noise, so means are compared: a chain has converged when the mean over
    the last `window` steps differs from the mean over the `window` before by less than `tolerance`. With the paper's
    T in [10, 100], two windows of five are the ten steps that every chain takes.
    """
    before, last = recent[:, : settings.window].mean(dim=1), recent[:, settings.window :].mean(dim=1)
    return (last - before).abs() < settings.tolerance


def stopped(state: ChainState, info: ChainInfo, settings: SamplerSettings) -> Tensor:
    """Which chains end with the images that `info` describes, `state` being the one after that step: -> (n,)."""
    steps = state.step - 1  # steps that led to the images of `info`
    if steps >= settings.max_steps:
        return torch.ones_like(info.confidence, dtype=torch.bool)
    if settings.stop == "batch":
        return (info.confidence.mean() > settings.confident).expand(len(info.confidence)) & (
            steps >= settings.min_steps
        )
    return converged(state.recent, settings) & (steps >= settings.min_steps)


def sample(
    network: nn.Module,
    count: int,
    shape: tuple[int, int, int],
    settings: SamplerSettings,
    generator: torch.Generator,
    chains: Tensor | None = None,
) -> Samples:
    """Low-entropy samples of the implicit generator of `network` (Algorithm 1).

    `network` maps images (n, *shape) in [-1, 1] to logits (n, C); it is left exactly as it was. `chains` (n,) selects
    which of the `count` chains to run (all of them unless given), so that workers can share one batch of chains; the
    samples come in increasing order of their chains.
    Raises ValueError where nothing is asked for or the logits are not (n, C), FloatingPointError where they or
    their gradients are not finite.
    """
    if count < 1 or (chains is not None and not len(chains)):
        raise ValueError(f"{count} samples were asked for: at least one is needed")
    device = next((parameter.device for parameter in network.parameters()), generator.device)
    chains = torch.arange(count) if chains is None else chains
    state = initial(count, shape, settings, generator, chains.to(device))
    ended: list[tuple[ChainState, ChainInfo]] = []
    with frozen(network):
        while len(state.chains):
            after, info = step(generator, network, state, settings)
            done = stopped(after, info, settings)
            if done.any():
                ended.append((state.keep(done), ChainInfo(*(v[done] for v in vars(info).values()))))
                after = after.keep(~done)
            state = after
    return assembled(ended)


def assembled(ended: list[tuple[ChainState, ChainInfo]]) -> Samples:
    """Samples in the order of their chains, from the groups in which the chains ended."""
    order = torch.cat([state.chains for state, _ in ended]).argsort()
    steps = [torch.full_like(state.chains, state.step) for state, _ in ended]
    return Samples(
        images=torch.cat([state.images for state, _ in ended])[order],
        confidence=torch.cat([info.confidence for _, info in ended])[order],
        energy=torch.cat([info.energy for _, info in ended])[order],
        predicted=torch.cat([info.predicted for _, info in ended])[order],
        steps=torch.cat(steps)[order],
    )
