"""Batch norms whose statistics are those of the whole mini-batch, however many workers share it."""

from itertools import chain

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.modules.batchnorm import _BatchNorm

from fig import parallel
from fig.frozen import frozen


class SumOverWorkers(torch.autograd.Function):
    """The sum over the workers of a tensor that each has; its gradient is the sum of the workers' gradients."""

    @staticmethod
    def forward(context: FunctionCtx, part: Tensor) -> Tensor:
        """The workers' sum, the same on each."""
        total = part.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: FunctionCtx, gradient: Tensor) -> Tensor:
        """The workers' sum of gradients."""
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


def share_rows(mine: Tensor) -> Tensor:
    """The rows (n,) that the workers have: (workers, n), with gradients to each worker's own."""
    places = torch.arange(parallel.workers(), device=mine.device) == parallel.rank()
    rows: Tensor = SumOverWorkers.apply(torch.where(places[:, None], mine, 0.0))
    return rows


def normalise_together(norm: _BatchNorm, values: Tensor) -> Tensor:
    """Normalise this worker's part (b, C, ...) of a mini-batch by the statistics of the whole; update running ones."""
    shape = (1, -1, *[1] * (values.ndim - 2))
    planes = [dim for dim in range(values.ndim) if dim != 1]
    wide = values.float()
    count = wide.numel() / norm.num_features
    own = wide.sum(planes) / max(1, count)  # (C,)
    squares = (wide - own.view(shape)).square().sum(planes)  # (C,)
    parts = share_rows(torch.cat([wide.new_full((1,), count), own, squares]))  # (workers, 1 + 2 C)
    counts, means, squares = parts.split([1, norm.num_features, norm.num_features], dim=1)
    total = counts.sum()
    mean = (counts * means).sum(dim=0) / total
    variance = (squares + counts * (means - mean).square()).sum(dim=0) / total  # exact where means are far from 0
    if norm.track_running_stats:
        with torch.no_grad():
            update_running(norm, mean, variance, total)
    normal = (wide - mean.view(shape)) * torch.rsqrt(variance + norm.eps).view(shape)
    if norm.affine:
        normal = normal * norm.weight.view(shape) + norm.bias.view(shape)
    given: Tensor = normal.to(values.dtype)
    return given


def update_running(norm: _BatchNorm, mean: Tensor, variance: Tensor, count: Tensor) -> None:
    """Move running statistics towards a mini-batch's mean and variance (C,) over `count` values, as torch does."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked += 1
    share = norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked)
    norm.running_mean.lerp_(mean, share)
    norm.running_var.lerp_(variance * count / (count - 1), share)


class Shared(_BatchNorm):
    """A batch norm over the whole mini-batch of a job's workers; unlike torch's SyncBatchNorm it needs no GPU.

    Modules of its own, such as the activations of timm's norms, follow the normalisation.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Normalised (b, C, ...)."""
        if not self.training:
            given: Tensor = super().forward(values)
            return given
        return apply_own_modules(self, normalise_together(self, values))


def apply_own_modules(norm: nn.Module, values: Tensor) -> Tensor:
    """Normalised values after a norm's own modules."""
    given: Tensor = nn.Sequential(*norm.children())(values)
    return given


KINDS: dict[type, type] = {}  # by kind of batch norm: the one over all workers


def share_statistics(network: nn.Module) -> None:
    """Make the batch norms of a network those of the whole mini-batch, in place; all its tensors stay as they are.

    Those of a single worker are so already. Raises ValueError for a kind of norm that does more than is known.
    """
    if parallel.workers() == 1:
        return
    for norm in network.modules():
        if isinstance(norm, _BatchNorm) and not isinstance(norm, Shared):
            check_known(norm)
            kind = type(norm)
            made = type(f"Shared{kind.__name__}", (Shared, kind), {"__doc__": Shared.__doc__})
            norm.__class__ = KINDS.setdefault(kind, made)


def check_known(norm: _BatchNorm) -> None:
    """Raise ValueError where a batch norm gives something else than normalised values after its own modules."""
    like = next(chain(norm.parameters(), norm.buffers()), torch.empty(()))
    planes = {nn.BatchNorm1d: (), nn.BatchNorm3d: (2, 2, 2)}
    shape = next((shape for kind, shape in planes.items() if isinstance(norm, kind)), (2, 2))
    values = torch.linspace(-1, 1, 2 * norm.num_features).to(like).view(2, -1, *[1] * len(shape))
    values = values.expand(-1, -1, *shape).contiguous()
    with frozen(norm), torch.no_grad():
        expected = apply_own_modules(norm, _BatchNorm.forward(norm, values))
        if not norm(values).allclose(expected, rtol=1e-3, atol=1e-5):
            raise ValueError(f"{type(norm).__name__} is no batch norm that workers can share: train on one worker")
