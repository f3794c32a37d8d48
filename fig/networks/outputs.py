"""Find the logits of networks whose forward pass returns more than a tensor, as in other libraries."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fig.frozen import frozen
from fig.scaling import Rescaled


class LogitsAlone(nn.Module):
    """A network of which only the logits are kept: images (B, channels, h, w) -> (B, classes).

    The weights of the network within are named `model.…`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        return logits_of(self.model(images))


def bare(network: nn.Module) -> nn.Module:
    """Return the network inside its wrappers, whose names its weights have; any other network unchanged."""
    return network.get_submodule(prefix_of(network).rstrip("."))


def prefix_of(network: nn.Module) -> str:
    """Return the prefix that the wrappers `Rescaled` and `LogitsAlone` add to the names of a network's submodules."""
    if isinstance(network, LogitsAlone):
        return f"model.{prefix_of(network.model)}"
    return f"network.{prefix_of(network.network)}" if isinstance(network, Rescaled) else ""


def as_logits(model: nn.Module, images: Tensor) -> nn.Module:
    """Return a model that gives a tensor in eval and in train mode, and any other model inside `LogitsAlone`.

    `images` (B, channels, h, w) are any that it takes. Raises ValueError if the model does not take such images, gives
    no logits (B, classes), or cannot be used.
    """
    check_workable(model)
    found = [
        output_of(model, images[:1], training=False),
        output_of(model, images[:1].repeat(2, 1, 1, 1), training=True),
    ]
    for output in found:
        logits = logits_of(output)
        if logits.ndim != 2 or not logits.is_floating_point():
            raise ValueError(
                f"{type(model).__name__} gives {logits.dtype} {tuple(logits.shape)} where logits (batch, classes) are "
                "wanted: it is no classifier of images, or has no head"
            )
    return model if all(isinstance(output, Tensor) for output in found) else LogitsAlone(model)


def check_workable(model: nn.Module) -> None:
    """Raise ValueError if a model's weights are missing or not float32, or its modes cannot be set."""
    kind, weights = type(model).__name__, list(model.parameters())
    if any(weight.is_meta for weight in weights):
        raise ValueError(f"{kind} is on the meta device: load its weights first")
    if others := {weight.dtype for weight in weights if weight.is_floating_point()} - {torch.float32}:
        raise ValueError(f"{kind} has weights of {', '.join(map(str, others))}: call its float() first")
    try:
        with frozen(model):
            pass
    except Exception as error:  # programs of torch.jit and torch.export raise many types
        raise ValueError(f"{kind} is a compiled program ({error}): use the network that it was made of") from error


def logits_of(output: object) -> Tensor:
    """Return the logits in a network's output: its `logits`, the first entry of a tuple, or the output itself.

    Raises ValueError if the output has another form.
    """
    found = output
    if isinstance(found, Mapping):
        found = found.get("logits")
    elif not isinstance(found, Tensor):
        found = getattr(found, "logits", found)
    if isinstance(found, tuple | list) and found:
        found = found[0]
    if isinstance(found, Tensor):
        return found
    names = f" of {', '.join(map(str, output))}" if isinstance(output, Mapping) else ""
    raise ValueError(f"the network gives {type(output).__name__}{names}, in which there are no logits")


def output_of(model: nn.Module, images: Tensor, training: bool) -> object:
    """Return a model's output for images in one of its modes; the model and its running statistics stay unchanged.

    Raises ValueError if the model does not take the images.
    """
    with leave_untouched(model):
        try:
            return model.train(training)(images)
        except Exception as error:  # a foreign model may raise any type for images that it does not take
            reason = " ".join(str(error).split())[:300]
            raise ValueError(
                f"{type(model).__name__} cannot take {images.dtype} images of shape {tuple(images.shape)} in "
                f"{'train' if training else 'eval'} mode: {reason}"
            ) from error


@contextmanager
def leave_untouched(model: nn.Module) -> Iterator[None]:
    """Restore, after the block, a model's modes and buffers and the CPU's random state; nothing in it is traced."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
