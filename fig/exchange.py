"""Gradients of several workers, summed while the backward pass that computes them is still under way."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from fig import parallel

BUCKET = 2**21  # entries that are exchanged at a time: 8 MB


def buckets_of(weights: Sequence[nn.Parameter], entries: int = BUCKET) -> list[list[nn.Parameter]]:
    """The weights in buckets of about so many entries, the last weights first: their gradients come first."""
    buckets: list[list[nn.Parameter]] = []
    free = 0
    for weight in reversed(weights):
        if free <= 0:
            buckets.append([])
            free = entries
        buckets[-1].append(weight)
        free -= weight.numel()
    return buckets


class Exchange:
    """The sums of a backward pass's gradients over the workers: all send the same buckets in the same order."""

    def __init__(self, buckets: Sequence[Sequence[nn.Parameter]]) -> None:
        """Nothing is sent yet."""
        self.buckets = buckets
        self.missing = [set(bucket) for bucket in buckets]
        self.bucket_of = {weight: number for number, bucket in enumerate(buckets) for weight in bucket}
        self.sent: list[tuple[Tensor, dist.Work | None]] = []

    def note(self, weight: nn.Parameter) -> None:
        """Take note of a weight whose gradient is there, and send every bucket whose turn it is."""
        self.missing[self.bucket_of[weight]].discard(weight)
        while len(self.sent) < len(self.buckets) and not self.missing[len(self.sent)]:
            self.send()

    def send(self) -> None:
        """Send the next bucket."""
        gradients = gradients_of(self.buckets[len(self.sent)])
        flat = torch.cat([gradient.flatten().float() for gradient in gradients]) if gradients else torch.zeros(0)
        self.sent.append((flat, dist.all_reduce(flat, async_op=True) if gradients else None))

    def finish(self) -> None:
        """Send the buckets of which some weights have no gradient, and put the sums in the gradients' places."""
        while len(self.sent) < len(self.buckets):
            self.send()
        for bucket, (flat, work) in zip(self.buckets, self.sent, strict=True):
            if work:
                work.wait()
            gradients = gradients_of(bucket)
            for gradient, part in zip(gradients, flat.split([each.numel() for each in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))


def gradients_of(weights: Sequence[nn.Parameter]) -> list[Tensor]:
    """The gradients of those weights that have one."""
    return [weight.grad for weight in weights if weight.grad is not None]


@contextmanager
def summed_gradients(weights: Sequence[nn.Parameter], entries: int = BUCKET) -> Iterator[None]:
    """Sum over the workers what a backward pass in this block makes of the weights' gradients.

    Weights that the pass does not reach keep none; they are the same on all workers.
    """
    if parallel.workers() == 1:
        yield
        return
    exchange = Exchange(buckets_of(weights, entries))
    handles = [weight.register_post_accumulate_grad_hook(exchange.note) for weight in weights]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    exchange.finish()
