"""Independent random streams, each named by what it is for and addressed by the iteration that uses it.

A stream depends on nothing that ran before it, so a resumed job draws what the undisturbed job would have drawn.
"""

import zlib

import numpy as np
import torch


def generator(seed: int, stream: str, iteration: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """Generator of the stream `stream` (for example "order" or "chains") at one iteration."""
    words = np.random.SeedSequence([seed, zlib.crc32(stream.encode()), iteration]).generate_state(1, np.uint64)
    return torch.Generator(device=device).manual_seed(int(words[0] >> np.uint64(1)))
