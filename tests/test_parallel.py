"""Several workers do together what one does alone."""

from pathlib import Path

import torch

from fig import parallel
from support.workers import run_on_gloo


def exchange(values: list[float]) -> list[float]:
    tensor = torch.tensor(values) * (parallel.rank() + 1)
    parallel.sum_over_workers([tensor])
    rows = parallel.gathered(torch.arange(parallel.rank(), 5, parallel.workers()), 5)
    return [*tensor.tolist(), *rows.tolist()]


def test_two_workers_sum_their_gradients_and_gather_their_rows_in_order(tmp_path: Path):
    assert run_on_gloo(2, tmp_path, exchange, [1.0, 10.0]) == [[3.0, 30.0, 0, 1, 2, 3, 4]] * 2
