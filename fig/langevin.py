"""A step of Langevin dynamics on a discriminator's energy, and where chains end (Eqs. 17 and 18)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from fig.energy import confidence, energy, energy_gradient
from fig.lenses import draw_lenses, see
from fig.precision import scale_of_rows
from fig.settings import Maker, SamplerSettings


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

    images: Tensor  # (n, channels, height, width), in [-1, 1]; before the lenses
    chains: Tensor  # (n,) which of the `count` chains these are
    recent: Tensor  # (n, 2 * window) confidences last seen, newest last; NaN before the first
    running: Tensor  # (n,) whether the chain still moves
    steps: Tensor  # (n,) steps that the chain has taken
    last: ChainInfo  # of the images where a chain has ended, of those one step before where it runs
    count: int  # chains that were started, running or not: noise is drawn for all of them
    step: int  # steps taken by those that run
    origin: Tensor | None = None  # where they started, if they may not go far from there: as `images`
    lenses: Tensor | None = None  # (n, 1, height, width // 2 + 1) what the network sees them through, if it does

    def see_images(self) -> Tensor:
        """The images as the network sees them: (n, channels, height, width), in [-1, 1]."""
        return see(self.images, self.lenses)

    def constant(self) -> dict[str, Tensor]:
        """What no step changes, by its name."""
        both = {"origin": self.origin, "lenses": self.lenses}
        return {name: value for name, value in both.items() if value is not None}

    def keep(self, wanted: Tensor) -> "ChainState":
        """The chains in these rows: a mask (n,) or indices."""
        last = ChainInfo(*(value[wanted] for value in vars(self.last).values()))
        names = ["images", "chains", "recent", "running", "steps", *self.constant()]
        return replace(self, last=last, **{name: getattr(self, name)[wanted] for name in names})

    def moving(self) -> list[Tensor]:
        """What a step changes, but for its number."""
        held = self.constant().values()  # another's in a recorded step
        return [*held, self.images, self.recent, self.running, self.steps, *vars(self.last).values()]

    def moved(self, values: Sequence[Tensor], step: int) -> "ChainState":
        """The same chains at a step, with these values of what `moving` gives."""
        held = dict(zip(self.constant(), values, strict=False))
        images, recent, running, steps, *last = values[len(held) :]
        still = replace(self, origin=held.get("origin"), lenses=held.get("lenses"))
        seen = ChainInfo(*last)
        return replace(still, images=images, recent=recent, running=running, steps=steps, last=seen, step=step)


def noise_of(draw: Maker[Tensor], shape: tuple[int, ...], count: int, generator: torch.Generator) -> Tensor:
    """One draw for each of the `count` chains: (count, channels, height, width)."""
    return draw((count, *shape), generator=generator, device=generator.device)


def initial(
    count: int, shape: tuple[int, ...], settings: SamplerSettings, generator: torch.Generator, chains: Tensor
) -> ChainState:
    """Chains at x0 ~ U(-1, 1), drawn for all `count` of them and then indexed by `chains` (n,)."""
    uniform = noise_of(torch.rand, shape, count, generator)
    images = (2 * uniform - 1).to(chains.device)[chains].contiguous(memory_format=torch.channels_last)
    return start_chains(images, settings, count, chains)


def start_chains(images: Tensor, settings: SamplerSettings, count: int, chains: Tensor) -> ChainState:
    """Chains that start at `images` (n, channels, height, width).

    Raises ValueError if there is no image, or if a pixel lies outside [-1, 1], the range in which chains move.
    """
    if not len(images):
        raise ValueError("no image was given for a chain to start at")
    lowest, highest = images.min(), images.max()
    if not (lowest >= -1 and highest <= 1):
        raise ValueError(f"chains start at pixels between {lowest:.3g} and {highest:.3g}: they must lie in [-1, 1]")
    recent = images.new_full((len(chains), 2 * settings.window), torch.nan)
    running, none, zeros = torch.ones_like(chains, dtype=torch.bool), recent[:, 0], torch.zeros_like(chains)
    seen = ChainInfo(none, none, zeros, running)
    origin = images if settings.radius else None
    lenses = draw_lenses(settings.smoothing, chains, *images.shape[-2:])
    return ChainState(images, chains, recent, running, zeros, seen, count, step=0, origin=origin, lenses=lenses)


def forward(
    network: nn.Module, images: Tensor, traced: bool = True, lenses: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The images as a leaf of the autograd graph, and their logits (n, C); where not `traced`, without a graph."""
    with torch.set_grad_enabled(traced):
        leaf = images.detach().requires_grad_(traced)
        logits = network(see(leaf, lenses))
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


def direction_of(gradient: Tensor, settings: SamplerSettings) -> Tensor:
    """The gradient (n, channels, height, width) as steps use it; the mean square of its pixels is 1 either way."""
    if settings.direction == "sign":
        return gradient.sign()
    size = gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()  # (n, 1, 1, 1)
    return gradient / size.clamp_min(torch.finfo(size.dtype).tiny)


def keep_near(images: Tensor, state: ChainState, settings: SamplerSettings) -> Tensor:
    """The images, each pixel in [-1, 1] and at most `radius` from where its chain started."""
    if state.origin is not None:
        images = state.origin + (images - state.origin).clamp(-settings.radius, settings.radius)
    return images.clamp(-1, 1)


def draw_noise(state: ChainState, generator: torch.Generator) -> Tensor:
    """The noise of a step, ~ N(0, 1) and like the images: drawn for all chains that were started, then indexed."""
    return noise_of(torch.randn, state.images.shape[1:], state.count, generator).to(state.images)[state.chains]


def step(
    network: nn.Module, state: ChainState, noise: Tensor, settings: SamplerSettings
) -> tuple[ChainState, ChainInfo]:
    """One Langevin step (Eq. 18): x <- clip(x - eps/2 sign(grad E(x)) + sqrt(eps) z, -1, 1), `noise` z ~ N(0, I).

    The gradient is by the images in front of the lenses, if there are any. The confidence is that of the images before
    the step, from the same forward pass; a chain that it makes stop keeps those images. Nothing that is given changes,
    and nothing is read back from a GPU.
    """
    leaf, traced = forward(network, state.images, state.step < settings.max_steps, state.lenses)
    logits = traced.detach().float()
    confidences = confidence(logits)
    recent = torch.cat([state.recent[:, 1:], confidences[:, None]], dim=1)
    running = state.running & ~must_stop(recent, confidences, state.step, settings)
    goes_on = leaf.requires_grad and may_run(running)
    gradient = backward(leaf, traced, settings.c) if goes_on else torch.zeros_like(leaf)
    finite = logits.isfinite().all(dim=1) & gradient.flatten(1).isfinite().all(dim=1)
    info = ChainInfo(confidences, energy(logits, settings.c), logits.argmax(dim=1), finite)
    step_size = step_size_at(settings, state.step)
    moved = state.images - step_size / 2 * direction_of(gradient, settings)
    moved = moved + noise_deviation(settings, step_size) * noise
    after = replace(
        state,
        images=torch.where(running[:, None, None, None], keep_near(moved, state, settings), state.images),
        recent=recent,
        running=running,
        steps=state.steps + running,
        last=seen_last(state, info),
        step=state.step + 1,
    )
    return after, info


def phase_of(settings: SamplerSettings, step: int) -> tuple[bool, bool, float]:
    """How steps differ, apart from their tensors: may chains continue, may they stop, and how far do they move."""
    return step < settings.max_steps, step >= settings.min_steps, step_size_at(settings, step)


def may_run(running: Tensor) -> bool:
    """Whether a chain may still run. A GPU is not asked, for the answer takes waiting."""
    return running.device.type != "cpu" or bool(running.any())


def seen_last(state: ChainState, info: ChainInfo) -> ChainInfo:
    """What is known of each chain: updated where it was running, as before where it had ended; what broke stays so."""
    values = {name: torch.where(state.running, value, getattr(state.last, name)) for name, value in vars(info).items()}
    return ChainInfo(**values | {"finite": values["finite"] & state.last.finite})


def have_converged(recent: Tensor, settings: SamplerSettings) -> Tensor:
    """Which chains' confidence has converged: (n, 2 * window) confidences -> (n,).

    A single step's confidence jumps with its noise, so means are compared: a chain has converged when the mean over
    the last `window` steps differs from the mean over the `window` before by less than `tolerance`. With the paper's
    T in [10, 100], two windows of five are the ten steps that every chain takes.
    """
    before, last = recent[:, : settings.window].mean(dim=1), recent[:, settings.window :].mean(dim=1)
    return (last - before).abs() < settings.tolerance


def must_stop(recent: Tensor, confidences: Tensor, steps: int, settings: SamplerSettings) -> Tensor:
    """Which chains end at the images with these confidences (n,), to which `steps` steps led: -> (n,)."""
    if steps >= settings.max_steps:
        return torch.ones_like(confidences, dtype=torch.bool)
    if steps < settings.min_steps:
        return torch.zeros_like(confidences, dtype=torch.bool)
    if settings.stop == "batch":
        return (confidences.mean() > settings.confident).expand(len(confidences))
    return have_converged(recent, settings)


def stopping_steps(confidences: Tensor, settings: SamplerSettings) -> Tensor:
    """Where chains that were followed without a stop would have been stopped: (n, steps + 1) confidences -> (n,)."""
    recent = torch.full((len(confidences), 2 * settings.window), torch.nan)
    steps = torch.full((len(confidences),), confidences.shape[1] - 1)
    running = torch.ones_like(steps, dtype=torch.bool)
    for taken, confidence_now in enumerate(confidences.T):
        recent = torch.cat([recent[:, 1:], confidence_now[:, None]], dim=1)
        stops = running & must_stop(recent, confidence_now, taken, settings)
        steps[stops] = taken
        running &= ~stops
    return steps
