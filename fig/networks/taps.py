"""Feature taps: outputs of a network's submodules while it classifies, for detectors that use inner features.

They are forward hooks and not traced graphs, so that they work on any module with any control flow.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from fig.frozen import frozen

Hook = Callable[[nn.Module, tuple[object, ...], object], None]  # called with a module, its inputs and its output
NamedHook = Callable[[nn.Module, tuple[object, ...], dict[str, object], object], None]  # the same with named inputs


PASSING_ON = (nn.Identity, nn.Dropout, nn.AdaptiveAvgPool2d)  # what they give in eval mode has the means it had


def whole(features: Tensor) -> Tensor:
    """Return the features unchanged."""
    return features


def by_channels(features: Tensor) -> Tensor:
    """Return features with their places on one axis, after the channels: (B, C, places).

    Features are (B, C, h, w), (B, h, w, C), tokens (B, n, C) or, with one place, (B, C). Images are square: if the two
    axes after the first are equal, and the last is not, the last one holds the channels.
    """
    if features.ndim == 3:
        return features.mT
    if features.ndim == 4 and features.shape[1] == features.shape[2] != features.shape[3]:
        return features.flatten(1, 2).mT
    return features.flatten(2) if features.ndim > 2 else features[..., None]


def pooled(features: Tensor) -> Tensor:
    """Average features, in any form that `by_channels` takes, over their places: (B, C)."""
    return by_channels(features).mean(dim=2)


def first_tensor(value: object) -> Tensor | None:
    """Return a tensor, or the first entry of a tuple or mapping if it is one, where libraries usually put features."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        value = value[0] if value else None
    return value if isinstance(value, Tensor) else None


@dataclass(frozen=True)
class Tap:
    """Where a network is tapped, and what is kept."""

    module: str  # name of a submodule
    keep: Callable[[Tensor], Tensor] = whole  # of what it gives
    call: int = 0  # which of its calls in a forward pass, from 0
    given: bool = False  # tap what the submodule is given, rather than what it gives


class EnoughError(Exception):
    """Ends a forward pass at a tap."""


@contextmanager
def tap_modules(network: nn.Module, taps: Mapping[str, Tap], stop: bool = False) -> Iterator[dict[str, Tensor]]:
    """Give a dictionary that after each forward pass of `network` in the block holds what the taps kept.

    The forward result is unchanged, and gradients flow through the kept values. They are taken at once, before a later
    module can change the features in place. With `stop`, a forward pass ends at the first tap that it reaches, and
    raises EnoughError there. Raises ValueError for an unknown name.
    """
    modules = dict(network.named_modules())
    if missing := [tap.module for tap in taps.values() if tap.module not in modules]:
        children = ", ".join(name for name, _ in network.named_children())
        raise ValueError(f"the network has no submodule {missing[0]!r} to be tapped; its outermost ones are {children}")
    kept: dict[str, Tensor] = {}
    calls: dict[str, int] = {}

    def begin(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        kept.clear()
        calls.clear()

    def note(name: str, tap: Tap) -> Hook:
        def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            call = calls[name] = calls.get(name, -1) + 1
            if call == tap.call:
                features = first_tensor(inputs if tap.given else output)
                if features is None:
                    raise ValueError(
                        f"submodule {tap.module} gives {type(output).__name__}, which begins with no tensor"
                    )
                kept[name] = tap.keep(features)
                if stop:
                    raise EnoughError

        return hook

    handles = [network.register_forward_pre_hook(begin)]
    handles += [modules[tap.module].register_forward_hook(note(name, tap)) for name, tap in taps.items()]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def kept_at(network: nn.Module, tap: Tap, images: Tensor) -> Tensor:
    """Return what a tap keeps of a forward pass of `images` (B, channels, height, width), which ends at the tap."""
    with tap_modules(network, {"": tap}, stop=True) as kept:
        try:
            network(images)
        except EnoughError:
            return kept[""]
    raise ValueError(f"submodule {tap.module} has no call {tap.call} in a forward pass")


@dataclass(frozen=True)
class Passage:
    """What a submodule does to the number of places of features: 0 for (B, features)."""

    name: str
    takes: int  # -1 where it takes the images
    gives: int
    size: int  # entries of what it gives for one image

    @property
    def part(self) -> bool:
        """Whether it is a part of a stage, or of the head, as a whole: it keeps the places, or gives none."""
        return self.takes > 0 and self.gives in (self.takes, 0)

    def within(self, other: "Passage") -> bool:
        """Whether it is a submodule of the other."""
        return self.name.startswith(f"{other.name}.")


def stages(network: nn.Module, images: Tensor) -> tuple[str, ...]:
    """Names of a network's stages, found by one forward pass of `images` (B, channels, height, width).

    A stage is all that works at one resolution: of the submodules that give features in a form that `by_channels`
    takes, the one that ends last for each resolution. Nothing ends a stage within a module that keeps its resolution,
    or within the head; and one that goes from a stage's resolution to the next belongs to the next. A network without
    such features has a stage for each of its submodules but the last that gives (B, features). Raises ValueError where
    there is neither.
    """
    called = passages_of(network, images)
    parts = [each for each in called if each.part]
    outer = [each for each in called if not any(each.within(part) for part in parts)]
    steps = [each for each in outer if len(resolutions_of(each, outer)) == 2]
    ends = [each for each in outer if not any(each.within(step) and each.gives != step.gives for step in steps)]
    by_resolution = {each.gives: each.name for each in ends if each.gives}
    found = tuple(by_resolution.values()) or tuple(each.name for each in called if not each.gives)[:-1]
    if not found:
        raise ValueError(
            "no submodule gives features: (B, C, h, w), (B, h, w, C), (B, tokens, C) or, before the last, (B, features)"
        )
    return found


def resolutions_of(passage: Passage, others: Sequence[Passage]) -> set[int]:
    """The numbers of places that features have on their way through a submodule."""
    return {passage.takes, passage.gives, *(each.gives for each in others if each.within(passage))}


def passages_of(network: nn.Module, images: Tensor) -> list[Passage]:
    """Submodules that give features, in the order in which they end: an outer one after its inner ones.

    They are called once, and they do more than to pool, rearrange or pass on: they have parameters, or keep the shape.
    Logits that are maps of one place, as a convolution gives them, are (B, features) too.
    """
    found: list[Passage] = []
    calls: dict[str, int] = {}

    def note(name: str) -> NamedHook:
        def hook(module: nn.Module, inputs: tuple[object, ...], named: dict[str, object], output: object) -> None:
            calls[name] = calls.get(name, 0) + 1
            given, features = first_tensor((*inputs, *named.values())), first_tensor(output)
            if features is None or len(features) != len(images) or features.ndim not in (2, 3, 4):
                return
            trained = next(module.parameters(), None) is not None
            kept = given is not None and given.shape == features.shape and not isinstance(module, PASSING_ON)
            if trained or kept:
                takes = -1 if given is None or given.shape == images.shape else places_of(given)
                found.append(Passage(name, takes, places_of(features), features[0].numel()))

        return hook

    modules = [(name, module) for name, module in network.named_modules() if name]
    handles = [module.register_forward_hook(note(name), with_kwargs=True) for name, module in modules]
    try:
        with frozen(network), torch.no_grad():
            logits = network(images)
    finally:
        for handle in handles:
            handle.remove()
    once = [each for each in found if calls[each.name] == 1]
    return [replace(each, gives=0) if (each.gives, each.size) == (1, logits[0].numel()) else each for each in once]


def places_of(features: Tensor) -> int:
    """The number of places of features: 0 for (B, features)."""
    return by_channels(features).shape[2] if features.ndim > 2 else 0
