"""Gradients of several workers, summed while the backward pass that computes them is still under way."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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
        self.sent: list[tuple[list[Tensor], Tensor, dist.Work]] = []
        self.next = 0  # bucket whose turn it is

    def note(self, weight: nn.Parameter) -> None:
        """Take note of a weight whose gradient is there, and send every bucket whose turn it is."""
        self.missing[self.bucket_of[weight]].discard(weight)
        while self.next < len(self.buckets) and not self.missing[self.next]:
            self.send()

    def send(self) -> None:
        """Send the next bucket's gradients, if it has any."""
        gradients = [weight.grad for weight in self.buckets[self.next] if weight.grad is not None]
        self.next += 1
        if gradients:
            flat = parallel.flatten(gradients)
            self.sent.append((gradients, flat, dist.all_reduce(flat, async_op=True)))

    def finish(self) -> None:
        """Send the buckets of which some weights have no gradient, and put the sums in the gradients' places."""
        while self.next < len(self.buckets):
            self.send()
        for gradients, flat, work in self.sent:
            work.wait()
            parallel.put_back(flat, gradients)


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
