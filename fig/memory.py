"""Work that does not fit into the device's memory, done in halves."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def halve_until_it_fits(work: Callable[[Tensor], T], rows: Tensor) -> Iterator[T]:
    """Yield `work(rows)` or, where that does not fit into the device's memory, the work on parts of them, in order.

    Raises torch.OutOfMemoryError where a single row does not fit.
    """
    waiting = deque([rows])
    while waiting:
        part = waiting.popleft()
        try:
            done = work(part)
        except torch.OutOfMemoryError:
            if len(part) == 1:
                raise
            waiting.extendleft(reversed(part.chunk(2)))
            continue
        yield done
