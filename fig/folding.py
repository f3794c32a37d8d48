"""Fold batch norms into the convolutions before them while a network is frozen: the same result, but faster."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from fig.frozen import place_of, restore_parameters

TOLERANCE = 1e-2  # of the largest value: rounding stays below it, and a wrong fold is far above it

Pair = tuple[nn.Conv2d, nn.BatchNorm2d]

_FOUND: "WeakKeyDictionary[nn.Module, list[Pair]]" = (
    WeakKeyDictionary()
)  # by network, because finding them costs a forward pass


def pairs(network: nn.Module, images: Tensor) -> list[Pair]:
    """Find the convolutions of a frozen network that feed a batch norm; none if folding would change the network.

    Each network is searched once, with a forward pass of `images` (B, channels, h, w).
    """
    if network in _FOUND:
        return _FOUND[network]
    seen, before = seen_pairs(network, images)
    if not before[-1].isfinite().all():
        return []
    with swap_weights(seen):  # only the results show whether an output has other uses
        _, after = seen_pairs(network, images)
    same = all((a - b).abs().max() <= TOLERANCE * b.abs().max() for a, b in zip(after, before, strict=True))
    return _FOUND.setdefault(network, seen if same else [])


def seen_pairs(network: nn.Module, images: Tensor) -> tuple[list[Pair], list[Tensor]]:
    """Convolutions whose output is a batch norm's input in a forward pass, both run once; all norms' outputs; logits.

    The logits, last, are not enough to tell whether two passes are the same: some hardly depend on the images.
    """
    made: dict[int, nn.Conv2d] = {}
    calls: dict[nn.Module, int] = {}
    found: list[Pair] = []
    alive: list[Tensor] = []  # tensors are held, so that no other takes their identity
    outputs: list[Tensor] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        if isinstance(module, nn.Conv2d):
            made[id(output)] = module
        else:
            outputs.append(output.clone())
            if id(inputs[0]) in made:
                found.append((made[id(inputs[0])], cast(nn.BatchNorm2d, module)))  # hooked are these two kinds alone
        alive.extend((inputs[0], output))

    kinds = (nn.Conv2d, nn.BatchNorm2d)
    handles = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, kinds)]
    try:
        with torch.no_grad():
            outputs.append(network(images))
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in found if calls[pair[0]] == calls[pair[1]] == 1 and foldable(*pair)], outputs


def foldable(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> bool:
    """Whether a batch norm is a fixed scale and shift in eval mode, and the weights before it can be replaced.

    A norm without running statistics is not fixed; weights that each pass computes cannot be replaced.
    """
    fixed = norm.running_mean is not None and norm.running_var is not None
    return fixed and "weight" in convolution._parameters


def fold(found: list[Pair]) -> tuple[list[Tensor], list[Tensor]]:
    """Return factors of each convolution's weights, and its biases, that make it equal its pair in eval mode.

    All are (channels,), and are computed together, because a GPU takes as long for one pair as for all.
    """
    if not found:
        return [], []
    variances = [require_values(norm.running_var) for _, norm in found]
    means = [
        require_values(n.running_mean) if c.bias is None else require_values(n.running_mean) - c.bias for c, n in found
    ]
    factors = [require_values(n.weight, torch.ones_like(v)) for (_, n), v in zip(found, variances, strict=True)]
    shifts = [require_values(n.bias, torch.zeros_like(v)) for (_, n), v in zip(found, variances, strict=True)]
    roots = torch._foreach_rsqrt(torch._foreach_add(variances, [norm.eps for _, norm in found]))
    scales = list(torch._foreach_mul(list(roots), factors))
    return scales, list(torch._foreach_sub(shifts, list(torch._foreach_mul(means, scales))))


def require_values(values: Tensor | None, otherwise: Tensor | None = None) -> Tensor:
    """Return a batch norm's values, or other ones if it has no values; raises ValueError if both are missing."""
    if values is None and otherwise is None:
        raise ValueError("a batch norm without running statistics cannot be folded")
    return cast(Tensor, otherwise if values is None else values)


@contextmanager
def swap_weights(found: list[Pair], dtype: torch.dtype | None = None) -> Iterator[None]:
    """Let convolutions do the work of their batch norms inside the block, then restore them bit by bit."""
    found = [pair for pair in found if "forward" not in pair[1].__dict__]  # the rest is folded already
    try:
        with restore_parameters(convolution for convolution, _ in found):
            with torch.no_grad():
                for (convolution, norm), scale, bias in zip(found, *fold(found), strict=True):
                    kind = dtype or convolution.weight.dtype
                    weight = place_of(convolution, "weight", convolution.weight, kind)
                    torch.mul(convolution.weight, scale.view(-1, 1, 1, 1), out=weight)
                    bias = place_of(convolution, "bias", bias, kind).copy_(bias)
                    convolution._parameters |= {"weight": weight, "bias": bias}  # type: ignore[dict-item]  # not trained
                    rest = nn.Sequential(*norm.children())  # timm's norms have an activation, torch's have nothing
                    norm.forward = rest.forward  # type: ignore[method-assign]  # of this instance; restored below
            yield
    finally:
        for _, norm in found:
            norm.__dict__.pop("forward", None)


@contextmanager
def fold_network(network: nn.Module, images: Tensor, dtype: torch.dtype | None = None) -> Iterator[nn.Module]:
    """Hold a frozen network (eval mode, weights without gradients) with its batch norms folded, then restore it.

    `images` (B, channels, h, w) are any that it takes. Folded weights have `dtype` or, without one, keep their type.
    """
    with swap_weights(pairs(network, images), dtype):
        yield network
