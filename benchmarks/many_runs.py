"""MLflow with the runs of hundreds of discriminators: mirroring into an SQLite file, and what the UI asks of it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import requests
from PIL import Image
from processes import environment, free_port, wait_for
from ratios import seconds, table
from tqdm import tqdm

from fig.runtime.tracking import client_for, mirror


def measure(runs: int, metrics: int) -> None:
    """Mirroring into an SQLite file that fills up, and then what the UI asks of a server on it."""
    with TemporaryDirectory() as name:
        results = Path(name) / "results"
        discriminators = results / "many" / "discriminators" / "digits" / "resnet18"
        folders = [written(discriminators / f"variant{row % 20}" / str(row), metrics) for row in range(runs)]
        large = written(discriminators / "large" / "0", 20 * metrics)
        mirror(folders[0])  # makes the database
        own = psutil.Process()

        def mirrored(folder: Path) -> tuple[float, float]:
            return timed(lambda: mirror(folder), own)

        times = [mirrored(each) for each in tqdm(folders[1:], desc="runs", leave=False)]
        rows = [
            ["mirror a run, the first ten", *spread(times[:10])],
            [f"mirror a run, the last ten of {runs}", *spread(times[-10:])],
            ["mirror it once more", *spread([mirrored(each) for each in folders[:10]])],
            [f"mirror one with {20 * metrics} metrics", *spread([mirrored(large)])],
        ]
        client = client_for(results)
        experiment = client.get_experiment_by_name("many").experiment_id
        found = [run.info.run_id for run in client.search_runs([experiment], max_results=10)]
        with server(results) as (address, served):
            for query, ask in queries(address, experiment, found).items():
                ask()
                rows.append([f"{query}, of {runs} runs", *spread([timed(ask, served) for _ in range(10)])])
        table(["what", "seconds, median", "longest", "of a core, median"], rows)


def written(folder: Path, metrics: int) -> Path:
    """A discriminator's folder as MLflow is shown it: 30 parameters, a history of 20 rows, `metrics` of evaluation."""
    *_, variant, seed = folder.parts
    folder.mkdir(parents=True)
    settings = {f"setting{number}": number for number in range(24)}
    architecture = {"network": "resnet18", "classes": 10}
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


def timed(work: Callable[[], object], worker: psutil.Process) -> tuple[float, float]:
    """Seconds that a piece of work takes, and those of a core that the process that does it spends on it."""
    before = spent(worker)
    return seconds(work), spent(worker) - before


def spent(process: psutil.Process) -> float:
    """Seconds of a core that a process and those below it have used."""
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))


def spread(times: Sequence[tuple[float, float]]) -> tuple[str, str, str]:
    """Median and largest of some seconds, and the median of those of a core."""
    taken, core = zip(*times, strict=True)
    return f"{median(taken):.3f}", f"{max(taken):.3f}", f"{median(core):.3f}"


@contextmanager
def server(results: Path) -> Iterator[tuple[str, psutil.Process]]:
    """An MLflow server on the SQLite file of a results folder: its address and process."""
    address, log = f"http://127.0.0.1:{(port := free_port())}", results / "server.log"
    command = [Path(sys.executable).with_name("mlflow"), "server", "--workers", "1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{results / 'mlflow.db'}"]
    env = environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
    with log.open("w") as file:
        process = subprocess.Popen(command, env=env, cwd=results, stdout=file, stderr=file, start_new_session=True)
    try:
        wait_for(lambda: answers(f"{address}/health"), process, log)
        yield address, psutil.Process(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def answers(url: str) -> bool:
    """Whether a server answers."""
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


def queries(address: str, experiment: str, runs: list[str]) -> dict[str, Callable[[], None]]:
    """What the UI asks a server for, by name."""
    api = f"{address}/ajax-api/2.0/mlflow"
    search = {"experiment_ids": [experiment], "max_results": 100}
    by_metric = {"order_by": ["metrics.`final.auroc.odin.oracle.set1` DESC"]}
    filtered = by_metric | {"filter": "tags.`fig.variant` = 'variant7'"}
    history = {"run_ids": runs, "metric_key": "history0", "max_results": 2500}

    def post(body: dict[str, Any]) -> Callable[[], None]:
        return lambda: requests.post(f"{api}/runs/search", json=search | body, timeout=60).raise_for_status()

    def get(path: str, query: dict[str, Any]) -> Callable[[], None]:
        return lambda: requests.get(f"{api}/{path}", params=query, timeout=60).raise_for_status()

    return {
        "the latest 100": post({}),
        "the best 100 by a metric": post(by_metric),
        "the best of a variant": post(filtered),
        f"a metric's history of {len(runs)} runs": get(
            "metrics/get-history-bulk-interval", {"run_ids": runs} | history
        ),
    }
