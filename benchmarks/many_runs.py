"""MLflow with the runs of hundreds of discriminators: mirroring into SQLite, and what the UI asks of it; no device."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import requests
from PIL import Image
from processes import environment, free_port, running_server
from ratios import Spent, print_cells, print_table, spend
from tqdm import tqdm

from fig.runtime.tracking import client_for, mirror


def measure(runs: int, metrics: int) -> None:
    """Mirroring into an SQLite file that fills up, and then what the UI asks of a server on it."""
    with TemporaryDirectory() as name:
        results = Path(name) / "results"
        discriminators = results / "many" / "discriminators" / "digits" / "resnet18"
        folders = [write_run(discriminators / f"variant{row % 20}" / str(row), metrics) for row in range(runs)]
        large = write_run(discriminators / "large" / "0", 20 * metrics)
        mirror(folders[0])  # makes the database
        times = [spend(partial(mirror, each)) for each in tqdm(folders[1:], desc="runs", leave=False, disable=None)]
        print_table(["what", "seconds, median", "longest", "CPU seconds, median"])
        print_spread("mirror a run, the first ten", times[:10])
        print_spread(f"mirror a run, the last ten of {runs}", times[-10:])
        print_spread("mirror it once more", [spend(partial(mirror, each)) for each in folders[:10]])
        print_spread(f"mirror one with {20 * metrics} metrics", [spend(partial(mirror, large))])
        experiment = (client := client_for(results)).get_experiment_by_name("many").experiment_id
        found = [run.info.run_id for run in client.search_runs([experiment], max_results=10)]
        with mlflow_server(results) as address:
            for query, ask in queries(
                address, experiment, found, "auroc/odin.oracle/set1", "variant7", "history0"
            ).items():
                ask()
                print_spread(f"{query}, of {runs} runs", [spend(ask) for _ in range(10)])


def print_spread(what: str, times: Sequence[Spent]) -> None:
    """Print a row: median and largest of some seconds, and the median of those of a core."""
    taken, core = [each.seconds for each in times], [each.core for each in times]
    print_cells(what, f"{median(taken):.3f}", f"{max(taken):.3f}", f"{median(core):.3f}")


def write_run(folder: Path, metrics: int) -> Path:
    """A discriminator's folder as MLflow is shown it: 30 parameters, a history of 20 rows, `metrics` of evaluation."""
    *_, variant, seed = folder.parts
    folder.mkdir(parents=True)
    settings = {f"setting{number}": number for number in range(24)}
    architecture = {"network": "resnet18", "classes": 10, "width": 1.0}
    card = {"architecture": architecture, "id_dataset": "digits", "variant": variant, "seed": int(seed)}
    (folder / "discriminator.json").write_text(json.dumps(card | {"key": f"{variant}-{seed}", "settings": settings}))
    columns = [f"history{number}" for number in range(8)]
    lines = [
        f"{50 * row},{1.7e9 + row}," + ",".join(f"{row / (column + 1)}" for column in range(8)) for row in range(20)
    ]
    (folder / "history.csv").write_text("\n".join(["iteration,time," + ",".join(columns), *lines]) + "\n")
    lines = [f"{variant}-{seed},odin,oracle,set{row},auroc,{(row + int(seed)) % 97 / 97}" for row in range(metrics)]
    (folder / "metrics.csv").write_text("\n".join(["key,detector,protocol,ood_dataset,metric,value", *lines]) + "\n")
    Image.new("RGB", (256, 256)).save(folder / "samples.png")
    return folder


@contextmanager
def mlflow_server(results: Path) -> Iterator[str]:
    """An MLflow server on the SQLite file of a results folder: its address."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [Path(sys.executable).with_name("mlflow"), "server", "--workers", "1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{results / 'mlflow.db'}"]
    env = environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
    with running_server(command, results / "server.log", env, lambda: answers(f"{address}/health")):
        yield address


def answers(url: str) -> bool:
    """Whether a server answers."""
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


def queries(
    address: str, experiment: str, runs: list[str], metric: str, variant: str, column: str
) -> dict[str, Callable[[], None]]:
    """What the UI asks a server for, by name: a list of runs, and a comparison of some by a metric and in a history."""
    api = f"{address}/ajax-api/2.0/mlflow"
    search = {"experiment_ids": [experiment], "max_results": 100}
    by_metric = {"order_by": [f"metrics.`{metric}` DESC"]}
    filtered = by_metric | {"filter": f"tags.`fig.variant` = '{variant}'"}
    history = {"run_ids": runs, "metric_key": column, "max_results": 2500}

    def post(body: dict[str, Any]) -> Callable[[], None]:
        return lambda: requests.post(f"{api}/runs/search", json=search | body, timeout=60).raise_for_status()

    def get() -> None:
        requests.get(f"{api}/metrics/get-history-bulk-interval", params=history, timeout=60).raise_for_status()

    return {
        "the latest 100": post({}),
        "the best 100 by a metric": post(by_metric),
        "the best of a variant": post(filtered),
        f"a metric's history of {len(runs)} runs": get,
    }
