"""The arithmetic of a network's passes: in which precision, and whether a GPU repeats it to the bit."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

from fig.frozen import place_of, restore_parameters
from fig.settings import Precision

LOWER = {"float16": torch.float16, "bfloat16": torch.bfloat16}
SCALE = 2.0**10  # of losses in float16, whose smallest gradients would otherwise become 0
LARGEST = 8.0  # entry of a logit's gradient in float16: what SCALE makes of it in a batch of 128 images
WITHOUT = ("DEFAULT", "AVX2")  # instructions of CPUs that have none for float16 and bfloat16

log = logging.getLogger("fig")


@contextmanager
def computing(precision: Precision, device: torch.device, deterministic: bool = False) -> Iterator[None]:
    """Compute in a precision on a device: float32 as such, also in cuDNN, whose own default for convolutions is TF32.

    In float16 and bfloat16 autocast chooses the operations that tolerate it; weights stay as they are. `deterministic`
    keeps cuDNN to algorithms that repeat to the bit. Afterwards everything is set as it was.
    """
    if precision in LOWER and device.type == "cpu":
        warn_where_slow(precision)
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]  # made when torch is imported
    products = torch.backends.cuda.matmul
    before = convolutions.fp32_precision, products.fp32_precision, torch.backends.cudnn.deterministic
    try:
        convolutions.fp32_precision = products.fp32_precision = "tf32" if precision == "tf32" else "ieee"
        torch.backends.cudnn.deterministic = before[2] or deterministic
        with torch.autocast(device.type, LOWER.get(precision), enabled=precision in LOWER):
            yield
    finally:
        convolutions.fp32_precision, products.fp32_precision, torch.backends.cudnn.deterministic = before


@cache
def warn_where_slow(precision: Precision) -> None:
    """Warn once in a process where a CPU has no instructions for a precision."""
    if torch.backends.cpu.get_cpu_capability() in WITHOUT:
        log.warning("this CPU has no instructions for %s and takes ten times as long as in float32", precision)


@contextmanager
def lower_weights(network: nn.Module, dtype: torch.dtype | None) -> Iterator[None]:
    """Hold the weights of a frozen network's convolutions and linear layers as `dtype`, if any, then restore them.

    Autocast would cast them again in every pass, as it does those that are computed in each, by a spectral norm say.
    """
    kinds = (nn.Conv2d, nn.Linear)
    all_of_them = network.modules() if dtype else ()
    modules = [module for module in all_of_them if isinstance(module, kinds) and "weight" in module._parameters]
    with restore_parameters(modules), torch.no_grad():
        for module in modules:
            for name, weight in module._parameters.items():
                if dtype and weight is not None and weight.dtype != dtype:
                    lower = place_of(module, name, weight, dtype).copy_(weight)
                    module._parameters[name] = lower  # type: ignore[assignment]  # nothing trains it
        yield


def scale_of(precision: Precision) -> float:
    """The factor of a loss whose gradients are computed in a precision, and are divided by it afterwards."""
    return SCALE if precision == "float16" else 1.0


def scale_of_rows(gradients: Tensor) -> Tensor:
    """Factors (B, 1) that bring the largest entry of each row of gradients (B, C) to LARGEST: for float16."""
    return LARGEST / gradients.abs().amax(dim=1, keepdim=True).clamp(min=1e-30)
