"""Langevin sampling step by step as the authors' published code does it, without any of this project's shortcuts.

Each step is a forward pass, a backward pass that computes weight gradients too, and a second forward pass to read the
confidence; the whole batch stops when its mean confidence exceeds 0.9, or at `max_steps`.
"""

import torch
from torch import Tensor, nn

CONFIDENT = 0.9
NARROWING = 5.0


def reference_sample(
    network: nn.Module,
    count: int,
    shape: tuple[int, int, int],
    max_steps: int,
    noise_deviation: float = 0.1,
    step_size: float = 0.1,
    confident: float = CONFIDENT,
) -> tuple[Tensor, Tensor, int]:
    """Images (count, *shape), their confidence (count,), and the steps taken."""
    training = network.training
    network.eval()
    images = torch.empty(count, *shape, device=next(network.parameters()).device).uniform_(-1, 1)
    steps = 0
    while steps < max_steps:
        images = images.detach().requires_grad_()
        logits = network(images) / NARROWING
        energy = (logits * (1 - logits.exp())).sum()
        energy.backward()
        with torch.no_grad():
            moved = images - step_size / 2 * images.grad.sign() + noise_deviation * torch.randn_like(images)
            images = moved.clamp(-1, 1)
            confidence = network(images).softmax(dim=1).amax(dim=1)
        steps += 1
        if confidence.mean() > confident:
            break
    network.zero_grad()
    network.train(training)
    return images, confidence, steps
