"""Draw many low-entropy samples of any classifier, in batches that fit into memory; an interrupted run resumes."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from fig.checkpoint import key_of, read_state, write_state
from fig.files import replacing
from fig.intact import explain_damage
from fig.langevin import ChainInfo, ChainState, initial, stopping_steps
from fig.sampler import Samples, Watch, advance, assemble_samples, device_of, prepare_network
from fig.seeding import generator
from fig.settings import Json, SamplerSettings

CONFIDENT = 0.9  # above which a sample counts as one that the discriminator is wrong about
SECONDS_BETWEEN = 20.0  # two savings of an unfinished drawing
TRIES = 20  # chains run for each sample of a wanted class before giving up


@dataclass(frozen=True)
class Request:
    """What to draw: `count` samples; with a `wanted` class, only samples that are predicted as this class.

    The seed and the batch size determine the samples; `count` does not change them.
    """

    count: int
    shape: tuple[int, int, int] = (3, 32, 32)  # of an image
    settings: SamplerSettings = field(default_factory=SamplerSettings)
    seed: int = 0
    batch: int = 128
    wanted: int | None = None

    def __post_init__(self) -> None:
        for name in ("count", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1")


@dataclass(frozen=True)
class Drawing:
    """How far the drawing of a request has come: all the state that resuming needs."""

    samples: Samples | None = None  # of the finished chains, without unwanted ones
    done: int = 0  # chains, wanted or not
    running: ChainState | None = None  # chains under way, after the first `done`
    ended: tuple[ChainState, ...] = ()  # those that started with them
    noise: Tensor | None = None  # state of their generator

    def __len__(self) -> int:
        return 0 if self.samples is None else len(self.samples.images)


SAVED = {each.__name__: each for each in (Drawing, Samples, ChainState, ChainInfo)}  # what an unfinished drawing holds


def save_drawing(path: Path, drawing: Drawing, key: str = "") -> None:
    """Write an unfinished drawing as a checkpoint, atomically; `key` identifies what is drawn."""
    tensors: dict[str, Tensor] = {}
    frame = take_tensors(drawing, "drawing", tensors)
    with replacing(path) as partial:
        write_state(partial, tensors, {"frame": json.dumps(frame), "key": key})


def load_drawing(path: Path, device: torch.device, key: str = "") -> Drawing:
    """Load onto a device what `save_drawing` wrote; without a file, return an empty drawing.

    Raises ValueError if the file is damaged, or was written under another key or by another version.
    """
    if not path.exists():
        return Drawing()
    with explain_damage(path, "unfinished drawing", "delete it to start afresh"):
        tensors, header = read_state(path)
        frame = json.loads(header["frame"])
    if header.get("key", "") != key:
        raise ValueError(f"{path} holds samples of another classifier or request: delete it to start afresh")
    state = "drawing.noise"  # of a generator: torch keeps it on the CPU
    placed = {name: tensor if name == state else tensor.to(device) for name, tensor in tensors.items()}
    drawing: Drawing = put_tensors(frame, placed)
    return drawing


def take_tensors(value: object, name: str, tensors: dict[str, Tensor]) -> Json:
    """Return a value for JSON: each tensor in it moves into `tensors` and leaves its name behind."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()  # a file holds no two of one memory
        return {"tensor": name}
    if is_dataclass(value):
        parts = {each.name: getattr(value, each.name) for each in fields(value)}
        own = {key: take_tensors(part, f"{name}.{key}", tensors) for key, part in parts.items()}
        return {"class": type(value).__name__, "fields": own}
    if isinstance(value, tuple):
        return [take_tensors(part, f"{name}.{number}", tensors) for number, part in enumerate(value)]
    return value


def put_tensors(frame: Json, tensors: Mapping[str, Tensor]) -> Json:
    """Rebuild the value that `take_tensors` took apart."""
    if isinstance(frame, list):
        return tuple(put_tensors(part, tensors) for part in frame)
    if isinstance(frame, dict) and "tensor" in frame:
        return tensors[frame["tensor"]]
    if isinstance(frame, dict):
        return SAVED[frame["class"]](**{name: put_tensors(part, tensors) for name, part in frame["fields"].items()})
    return frame


def samples_where(samples: Samples, rows: Tensor) -> Samples:
    """Return the samples at these rows: a mask (n,) or indices."""
    return Samples(**{each.name: getattr(samples, each.name)[rows] for each in fields(Samples)})


def join_samples(first: Samples | None, second: Samples) -> Samples:
    """Concatenate samples."""
    if first is None:
        return second
    both = {each.name: [getattr(first, each.name), getattr(second, each.name)] for each in fields(Samples)}
    return Samples(**{name: torch.cat(values) for name, values in both.items()})


def begun(network: nn.Module, request: Request, drawing: Drawing, fit: int) -> Drawing:
    """Start the next chains of a drawing: at most `fit`, all from one batch."""
    number, offset = divmod(drawing.done, request.batch)
    still = request.batch if request.wanted is not None else request.count - drawing.done
    chains = torch.arange(offset, min(offset + fit, request.batch, offset + still))
    device = device_of(network, torch.default_generator)
    noise = generator(request.seed, "samples", number, device)
    running = initial(request.batch, request.shape, request.settings, noise, chains.to(device))
    return replace(drawing, running=running, ended=(), noise=noise.get_state())


def under_way(drawing: Drawing) -> tuple[ChainState, Tensor]:
    """Return the running chains and the state of their generator; raises ValueError if no chains are running."""
    if drawing.running is None or drawing.noise is None:
        raise ValueError("no chains of the drawing are under way")
    return drawing.running, drawing.noise


def renumber(watch: Watch | None, first: int) -> Watch | None:
    """Return a watch that sees chains numbered from `first`."""
    if watch is None:
        return None

    def watch_renumbered(state: ChainState, info: ChainInfo) -> None:
        watch(replace(state, chains=state.chains + first), info)

    return watch_renumbered


def finish_drawing(request: Request, drawing: Drawing) -> Drawing:
    """Add the samples of the running chains to the drawing, once all of them have ended."""
    new = assemble_samples(list(drawing.ended))
    done = drawing.done + len(new.images)
    if request.wanted is not None:
        new = samples_where(new, new.predicted == request.wanted)
    return Drawing(join_samples(drawing.samples, new), done)


def drawings(
    network: nn.Module, request: Request, drawing: Drawing | None = None, watch: Watch | None = None
) -> Iterator[Drawing]:
    """Continue from `drawing`, or start a new one; yield the state every few steps and, last, the finished drawing.

    `watch` sees each step, with chains numbered across all batches. A batch that does not fit into the device's
    memory runs in halves, with the same noise. Raises ValueError if chains hardly ever reach the wanted class.
    """
    drawing, fit = drawing or Drawing(), request.batch
    while len(drawing) < request.count:
        if drawing.running is None:
            drawing = begun(network, request, drawing, fit)
        running, state = under_way(drawing)
        noise = torch.Generator(running.images.device)
        noise.set_state(state)
        renumbered = renumber(watch, first=drawing.done - drawing.done % request.batch)  # chain 0 of this batch
        try:
            with prepare_network(network, running.images, request.settings):
                steps = advance(network, running, request.settings, noise, watch=renumbered)
                for ended, running in steps:
                    groups = (*drawing.ended, ended) if len(ended.chains) else drawing.ended
                    drawing = replace(drawing, running=running, ended=groups, noise=noise.get_state())
                    yield drawing
        except torch.OutOfMemoryError:
            if fit == 1:
                raise
            fit = (fit + 1) // 2
            drawing = replace(drawing, running=None, ended=())
            continue
        drawing = finish_drawing(request, drawing)
        check_found(request, drawing)
        yield drawing


def check_found(request: Request, drawing: Drawing) -> None:
    """Raise ValueError if too few samples belong to the wanted class for more chains to help."""
    if len(drawing) < request.count and drawing.done >= TRIES * max(request.count, request.batch):
        raise ValueError(
            f"only {len(drawing)} of {drawing.done} samples are predicted as class {request.wanted}: {request.count} "
            "of them are not available; choose another class, seed or number of steps"
        )


def draw(network: nn.Module, request: Request, watch: Watch | None = None, progress: bool = True) -> Samples:
    """Draw all samples of a request from `network` (scaled images (n, *shape) in [-1, 1] -> logits (n, C)).

    Shows a progress bar unless `progress` is false. Raises what `drawings` and `advance` raise.
    """
    return run_drawing(request, drawings(network, request, watch=watch), progress)


def run_drawing(
    request: Request,
    steps: Iterator[Drawing],
    progress: bool = True,
    each: Callable[[Drawing], None] = lambda drawing: None,
) -> Samples:
    """Run `drawings` to the end with a progress bar, call `each` with every state, and return the samples."""
    drawing = Drawing()
    # miniters 0: steps move the bar too
    with tqdm(total=request.count, desc="sampling", unit="sample", disable=not progress, miniters=0) as bar:
        for drawing in steps:
            each(drawing)
            if drawing.running is not None:
                bar.set_postfix(step=drawing.running.step, chains=len(drawing.running.chains), refresh=False)
            bar.update(min(len(drawing), request.count) - bar.n)
    if drawing.samples is None:
        raise ValueError("the drawing ended before its first sample")
    return samples_where(drawing.samples, torch.arange(request.count))


def draw_into(network: nn.Module, request: Request, unfinished: Path | None, progress: bool = True) -> Samples:
    """Draw all samples of a request; with a path for `unfinished`, an interrupted run resumes from that file.

    The file is written every SECONDS_BETWEEN and on interruption, and removed at the end. Raises what `draw` and
    `load_drawing` raise.
    """
    if unfinished is None:
        return draw(network, request, progress=progress)
    key = key_of(network, {"request": request})
    saved, last = time.monotonic(), load_drawing(unfinished, device_of(network, torch.default_generator), key)

    def keep(drawing: Drawing) -> None:
        nonlocal saved, last
        last = drawing
        if time.monotonic() - saved > SECONDS_BETWEEN:
            save_drawing(unfinished, drawing, key)
            saved = time.monotonic()

    try:
        samples = run_drawing(request, drawings(network, request, last), progress, keep)
    except KeyboardInterrupt:
        save_drawing(unfinished, last, key)
        raise
    unfinished.unlink(missing_ok=True)
    return samples


class Trajectories:
    """A `watch` that records confidence and energy at every step, and images every `images_every` steps."""

    def __init__(self, images_every: int = 0) -> None:
        """`images_every` 0 keeps no images."""
        self.images_every = images_every
        self.images: dict[int, dict[int, Tensor]] = {}  # by step, then by chain: (channels, height, width)
        self._seen: list[tuple[int, Tensor, Tensor, Tensor]] = []

    def __call__(self, state: ChainState, info: ChainInfo) -> None:
        """Record the running chains, before a step."""
        chains = state.chains[state.running].cpu()
        confidence, energy = info.confidence[state.running].cpu(), info.energy[state.running].cpu()
        self._seen.append((state.step, chains, confidence, energy))
        if self.images_every and state.step % self.images_every == 0:
            images = state.see_images()[state.running].cpu()
            self.images.setdefault(state.step, {}).update(zip(chains.tolist(), images, strict=True))

    @property
    def confidence(self) -> Tensor:
        """Confidence (chains, steps + 1), NaN after the end of a chain."""
        return self._table(2)

    @property
    def energy(self) -> Tensor:
        """Energy (chains, steps + 1), NaN after the end of a chain."""
        return self._table(3)

    def _table(self, column: int) -> Tensor:
        chains = 1 + max(int(seen[1].max()) for seen in self._seen if len(seen[1]))
        steps = 1 + max(seen[0] for seen in self._seen if len(seen[1]))
        table = torch.full((chains, steps), torch.nan)
        for seen in self._seen:
            table[seen[1], seen[0]] = seen[column]
        return table


@dataclass(frozen=True)
class Probe:
    """How confident a discriminator is on its own low-entropy samples."""

    confidence: float  # mean over chains, each where the sampler's rule stops it; FIG lowers it
    share_confident: float  # of the chains, above CONFIDENT there
    steps: float  # mean, that the rule lets chains take
    stops: tuple[int, ...]  # of each chain
    mean: tuple[float, ...]  # confidence after 0, 1, ... steps, over all chains
    low: tuple[float, ...]  # the same, its tenth percentile
    high: tuple[float, ...]  # its ninetieth
    share: tuple[float, ...]  # of the chains above CONFIDENT after 0, 1, ... steps


def run_probe(
    network: nn.Module,
    count: int,
    shape: tuple[int, int, int],
    steps: int,
    settings: SamplerSettings,
    seed: int = 0,
    batch: int = 128,
    progress: bool = True,
) -> Probe:
    """Run `count` chains of `network` for `steps` steps each, and record where the rule of `settings` stops them."""
    seen = Trajectories()
    unstopped = replace(settings, stop="chain", min_steps=steps, max_steps=steps)
    draw(network, Request(count, shape, unstopped, seed, batch), seen, progress)
    confidence = seen.confidence  # (count, steps + 1)
    ruled = replace(settings, max_steps=min(settings.max_steps, steps), min_steps=min(settings.min_steps, steps))
    stops = stopping_steps(confidence, ruled)
    last = confidence.gather(1, stops[:, None])[:, 0]
    low, high = confidence.quantile(torch.tensor([0.1, 0.9]), dim=0)
    return Probe(
        confidence=last.mean().item(),
        share_confident=(last > CONFIDENT).float().mean().item(),
        steps=stops.float().mean().item(),
        stops=tuple(stops.tolist()),
        mean=tuple(confidence.mean(dim=0).tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        share=tuple((confidence > CONFIDENT).float().mean(dim=0).tolist()),
    )
