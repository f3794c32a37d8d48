"""Feature taps: what submodules of a network give while it classifies, for detectors that look inside.

Forward hooks rather than traced graphs, so that any module of one's own can be tapped, whatever its control flow.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fig.frozen import frozen


@contextmanager
def tapped(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Give a dictionary that after each forward pass of `network` in the block holds the outputs of these submodules.

    The forward result is unchanged, and gradients flow through the outputs. An output that a later module changes in
    place is tapped as it became: tap stages, which end before. Raises ValueError for a name that is not there.
    """
    modules = dict(network.named_modules())
    if missing := [name for name in names if name not in modules]:
        children = ", ".join(name for name, _ in network.named_children())
        raise ValueError(f"the network has no submodule {missing[0]!r} to be tapped; its outermost ones are {children}")
    outputs: dict[str, Tensor] = {}

    def keep(name: str):
        def hook(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            outputs[name] = output

        return hook

    handles = [modules[name].register_forward_hook(keep(name)) for name in names]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def stages(network: nn.Module, images: Tensor) -> tuple[str, ...]:
    """Names of a network's stages, found by one forward pass of `images` (B, channels, height, width).

    A stage is all that works at one resolution: of the submodules whose outputs are (B, C, h, w) with h or w above 1,
    the one that ends last for each resolution. A network without such features has a stage for each of its submodules
    but the last that gives (B, features). Raises ValueError where there is neither.
    """
    ended: list[tuple[str, torch.Size]] = []  # in the order in which they end: an outer module after its inner ones

    def note(name: str):
        def hook(module: nn.Module, inputs: tuple, output: object) -> None:
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
