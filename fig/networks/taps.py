"""Feature taps: what submodules of a network give while it classifies, for detectors that look inside.

Forward hooks rather than traced graphs, so that any module of one's own can be tapped, whatever its control flow.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from fig.frozen import frozen

T = TypeVar("T")

Hook = Callable[[nn.Module, tuple[Tensor, ...], T], None]  # is told of a module's inputs and of its output


def whole(features: Tensor) -> Tensor:
    """The features as they are."""
    return features


def pooled(features: Tensor) -> Tensor:
    """Means over the image plane: (B, C, h, w) or (B, C) -> (B, C)."""
    return features.flatten(2).mean(dim=2) if features.ndim > 2 else features


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
def tapped(network: nn.Module, taps: Mapping[str, Tap], stop: bool = False) -> Iterator[dict[str, Tensor]]:
    """Give a dictionary that after each forward pass of `network` in the block holds what the taps kept.

    The forward result is unchanged, and gradients flow through what is kept. What is kept is taken at once, before a
    later module may change the features in place. With `stop` a forward pass goes no deeper than the first tap that it
    comes to, and raises EnoughError there. Raises ValueError for a name that is not there.
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

    def note(name: str, tap: Tap) -> Hook[Tensor]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            call = calls[name] = calls.get(name, -1) + 1
            if call == tap.call:
                kept[name] = tap.keep(inputs[0] if tap.given else output)
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
    """What a tap keeps of a forward pass of `images` (B, channels, height, width) that goes no deeper than it."""
    with tapped(network, {"": tap}, stop=True) as kept:
        try:
            network(images)
        except EnoughError:
            return kept[""]
    raise ValueError(f"submodule {tap.module} has no call {tap.call} in a forward pass")


def stages(network: nn.Module, images: Tensor) -> tuple[str, ...]:
    """Names of a network's stages, found by one forward pass of `images` (B, channels, height, width).

    A stage is all that works at one resolution: of the submodules whose outputs are (B, C, h, w) with h or w above 1,
    the one that ends last for each resolution. A network without such features has a stage for each of its submodules
    but the last that gives (B, features). Raises ValueError where there is neither.
    """
    ended: list[tuple[str, torch.Size]] = []  # in the order in which they end: an outer module after its inner ones

    def note(name: str) -> Hook[object]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
            if isinstance(output, Tensor):
                ended.append((name, output.shape))

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in network.named_modules() if name]
    try:
        with frozen(network), torch.no_grad():
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    by_resolution = {shape[2:]: name for name, shape in ended if len(shape) == 4 and max(shape[2:]) > 1}
    found = tuple(by_resolution.values()) or tuple(name for name, shape in ended[:-1] if len(shape) == 2)
    if not found:
        raise ValueError("the network has no features to be tapped: no submodule gives (B, C, h, w) or (B, features)")
    return found
