"""Measure what the commands take on a study of thousands of jobs without training or scoring; no device.

The files are real. Functions of the project write them with their records, and make its tables, figures and pages, so
`fig plan` finds nothing stale. Weights are a few bytes, and scores, histories and samples are random.

Example: python benchmarks/big_study.py --variants 78 --seeds 8
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import chdir
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import NamedTuple

import cyclopts
import numpy as np
import torch
import yaml
from many_runs import mlflow_server, print_spread, queries
from processes import environment
from ratios import Count, print_cells, print_machine, print_table, spend
from torch import nn
from tqdm import tqdm

from fig.commands.jobs import list_jobs, remember_outputs
from fig.data.arrays import write_description, write_images
from fig.discriminator import load_card, save
from fig.evaluation import MetricRow, row_of
from fig.files import replacing
from fig.methods.table import build_method
from fig.metrics import OOD_METRICS
from fig.runtime.job import Job, Role
from fig.runtime.record import Record, Times
from fig.runtime.tracking import client_for
from fig.sampler import Samples
from fig.stages.chains import Chains
from fig.stages.embedding import Embedding
from fig.stages.evaluate import Evaluate
from fig.stages.prepare import Prepare
from fig.stages.support.clocked import Measurement
from fig.stages.support.images import write_arrays, write_samples
from fig.stages.support.scoring import sample_rows, write_metrics
from fig.stages.support.trainer import Call, architecture_of, make_card, write_history
from fig.stages.support.training import Training
from fig.stages.throughput import Throughput

NETWORKS = ("resnet18", "vgg19", "shufflenetv2", "densenet100")
OOD = ("photos-r-antialias", "photos-r-bilinear", "photos-r-nearest", "photos-c")
ODIN = {"temperatures": [1, 1000], "magnitudes": [0, 0.002]}
IMAGES, SAMPLES, ROWS = 450, 64, 20  # test images, low-entropy samples, and rows of a history
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LAUNCH = """import resource, subprocess, sys
status = subprocess.call([sys.executable, *sys.argv[1:]])  # by a small process: a large one would count as its own
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"\\n{used.ru_utime + used.ru_stime} {used.ru_maxrss}")
raise SystemExit(status)"""
LOADED = """<script>addEventListener("load", () => {
  document.body.getBoundingClientRect(); document.body.dataset.loaded = performance.now();
});</script>"""


def write_config(path: Path, variants: int, seeds: int, networks: Sequence[str] = NETWORKS) -> None:
    """Write a study of so many variants (three at least) of each network: standard, gaussian, and FIG by K."""
    fig = {"fig": {"method": "fig"}} | {
        f"fig-k{number:03}": {"method": "fig", "fig": {"K": number / 1000}} for number in range(1, variants - 2)
    }
    study = {"id_datasets": ["digits"], "ood_datasets": list(OOD), "networks": list(networks)}
    compared = study | {"variants": ["standard", "gaussian", *fig], "targets": ["table1", "table2", "table4", "fig1"]}
    looked_into = study | {"variants": ["standard", "fig"], "targets": ["table5", "fig3", "fig4", "fig5"]}
    config = {
        "run": "big",
        "preset": "paper",
        "seeds": list(range(seeds)),
        "networks": {name: {"width": 0.0625} for name in networks},
        "studies": [compared, looked_into],
        "detectors": {"baseline": {}, "odin": ODIN, "energy": {}},
        "variants": {"gaussian": {"method": "gaussian"}, **fig},
        "resources": {"training": {"workers": 0}, "evaluation": {"workers": 0}},
    }
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def write_study(config: Path) -> int:
    """Do every job of a study, those without what is heavy in them: how many there are."""
    jobs = list_jobs([config])
    for planned in tqdm(jobs, desc="write", unit="job", leave=False, disable=None):
        write = next((write for kind, write in WRITERS.items() if isinstance(planned.job, kind)), None)
        if write is None:
            planned.job.execute()  # a table, a figure, the pages: as they are made of any study
        else:
            leave_record(planned.job, write)
    return len(jobs)


def leave_record(job: Job, write: Callable[[Job, np.random.Generator], None]) -> None:
    """Write what a job makes, and its record."""
    began, command = time.time(), job.command()
    write(job, np.random.default_rng(list(command.encode())))
    times = Times(started=began, startup=0.5, work=1.0, device="none")
    Record(job.origin(), command, job.values(Role.RUNTIME), times).write(job.record_path())


def write_split(job: Prepare, draw: np.random.Generator) -> None:
    """Write a prepared split of noise."""
    side, name = job.recipe.size, job.output.parent.name
    labels = (np.arange(IMAGES) % 10).tolist() if name == "digits" else []
    job.output.parent.mkdir(parents=True, exist_ok=True)
    written = write_images(job.output, [draw.integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)])
    classes = [str(number) for number in range(10)] if labels else []
    write_description(job.output, written, labels, classes, {"source": "noise"}, f"noise instead of {name}")


def write_discriminator(job: Training, draw: np.random.Generator) -> None:
    """Write a discriminator's folder, with a few bytes in place of weights."""
    job.output.mkdir(parents=True, exist_ok=True)
    card = make_card(Call(job, Path(), job.key(), job.origin()), architecture_of(job, build_method(job.method, {})))
    save(job.output, SimpleNamespace(network=nn.Linear(1, 1)), card)
    columns = ["loss", "id_confidence", "id_energy"]
    columns += ["generated_confidence", "generated_energy"] * (job.method == "fig")
    rows = draw.random((ROWS, len(columns)))
    steps = ({"iteration": 10 * step, "time": 1.7e9 + step, "learning_rate": 0.001} for step in range(ROWS))
    values = (dict(zip(columns, row.tolist(), strict=True)) for row in rows)
    write_history(job.output / "history.csv", (step | row for step, row in zip(steps, values, strict=True)))


def draw_samples(draw: np.random.Generator) -> Samples:
    """Low-entropy samples of flat colours."""
    images = draw.random((SAMPLES, 3, 4, 4), np.float32).repeat(8, 2).repeat(8, 3)
    values = {name: torch.tensor(draw.random(SAMPLES)) for name in ("confidence", "energy")}
    return Samples(torch.tensor(images), predicted=torch.arange(SAMPLES) % 10, steps=torch.ones(SAMPLES), **values)


def write_evaluation(job: Evaluate, draw: np.random.Generator) -> None:
    """Write scores, samples and metrics, the latter not computed from the former."""
    sets = [path.parent.name for path in job.ood]
    for detector in job.detectors:
        scores = {name: draw.normal(name == "id", 1, IMAGES) for name in ("id", *sets)}
        write_arrays(job.discriminator / "scores" / f"{detector}.npz", **scores)
    samples = draw_samples(draw)
    write_samples(job.discriminator / "samples.png", samples)
    rows = [row_of("accuracy", draw.uniform(0.9, 1)), row_of("calibration_error", draw.uniform(0, 0.1))]
    for detector in job.detectors:
        rows += [row for name in sets for row in list_metrics(detector, name, draw)]
    write_metrics(job.discriminator, [*rows, *sample_rows(samples)])


def list_metrics(detector: str, ood: str, draw: np.random.Generator) -> list[MetricRow]:
    """Rows of metrics of a detector on an OOD set: of ODIN under both protocols, and for each point of its grid."""
    grid = [f"T={t}, m={m}" for t in ODIN["temperatures"] for m in ODIN["magnitudes"]] if detector == "odin" else []
    names = [*OOD_METRICS, "harmonic_mean", "auroc_low", "auroc_high"]
    rows = [
        row_of(name, draw.uniform(0.5, 1), detector, ood, protocol, grid[0] if grid else "")
        for protocol in (("oracle", "id-only") if grid else ("",))
        for name in names
    ]
    return rows + [row_of("auroc", draw.uniform(0.5, 1), detector, ood, "grid", setting) for setting in grid]


def write_throughput(job: Throughput, draw: np.random.Generator) -> None:
    """Write a measurement of a sampler."""
    card = load_card(job.discriminator)
    names = {"id_dataset": card.id_dataset, "network": card.architecture.network, "width": card.architecture.width}
    speed = {"steps": 10.0, "images": 100, "seconds": 1.0, "images_per_second": draw.uniform(50, 100)}
    measured = Measurement(**names, size=32, batch=128, device="none", precision="float32", **speed)
    with replacing(job.output) as partial_file:
        partial_file.write_text(json.dumps(asdict(measured)) + "\n")


def write_embedding(job: Embedding, draw: np.random.Generator) -> None:
    """Write points of the plane."""
    points = {"test": draw.normal(size=(45, 2)), "labels": np.arange(45) % 10, "generated": draw.normal(size=(20, 2))}
    counts = {"drawn": np.array(128), "above": np.array(20), "confident": np.array(0.9)}
    write_arrays(job.discriminator / "embedding.npz", **points, **counts, confidence=draw.uniform(0.9, 1, 20))


def write_chains(job: Chains, draw: np.random.Generator) -> None:
    """Write images that chains ended in."""
    images = draw.integers(0, 256, (8, 4, 4, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    counts = {"wanted": "", "found": 64, "chains": 64, "steps": 100, "mean_confidence": 0.5}
    own = {"images": images, "confidence": draw.random(8), "predicted": np.array(list("01234567"))}
    write_arrays(job.discriminator / "chains.npz", **own, **{name: np.array(each) for name, each in counts.items()})


WRITERS = {
    Prepare: write_split,
    Training: write_discriminator,
    Evaluate: write_evaluation,
    Throughput: write_throughput,
    Embedding: write_embedding,
    Chains: write_chains,
}


class Taken(NamedTuple):
    """What a command took."""

    seconds: float
    core: float  # CPU seconds, its own processes' included
    megabytes: float  # of its largest process, at most
    printed: str


def run(command: Sequence[str]) -> Taken:
    """Run a command of Python's to its end; raises RuntimeError with what it said where it failed."""
    began = time.perf_counter()
    launched = [sys.executable, "-c", LAUNCH, *command]
    ran = subprocess.run(launched, env=environment(), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if ran.returncode:
        raise RuntimeError(f"{shlex.join(command)} failed: {ran.stderr[-2000:]}")
    printed, _, used = ran.stdout.rstrip().rpartition("\n")
    core, kilobytes = map(float, used.split())
    return Taken(seconds, core, kilobytes / 1000, printed)


def load_page(page: Path) -> float:
    """Seconds from when Chromium asks for a page until it has loaded it and laid it out, scripts included."""
    probed = page.with_name(f"probed-{page.name}").resolve()
    probed.write_text(page.read_text() + LOADED)
    with TemporaryDirectory() as profile:
        options = ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--dump-dom")
        done = subprocess.run([CHROMIUM, *options, probed.as_uri()], capture_output=True, text=True, check=True)
    probed.unlink()
    (found,) = re.findall(r'data-loaded="([\d.]+)"', done.stdout)
    return float(found) / 1000


def list_commands(config: Path) -> dict[str, list[str]]:
    """The commands that a study is looked at with, by what the table calls them."""
    (report,) = (planned.command for planned in list_jobs([config]) if planned.rule == "report")
    return {
        "`fig plan`, stale jobs included": ["-m", "fig", "plan", str(config)],
        "`fig run --dry-run`": ["-m", "fig", "run", str(config), "--dry-run", "--quiet"],
        "the job `report`: all pages": [word for word in shlex.split(report)[1:] if word != "2>"][:-1],
        "`fig report`: targets and all pages": ["-m", "fig", "report", str(config)],
        "`fig sync`, into a new SQLite file": ["-m", "fig", "sync"],
        "`fig sync` once more": ["-m", "fig", "sync"],
    }


def count_files(folder: Path) -> tuple[int, int]:
    """Files and folders below a folder, and the bytes of the files."""
    found = [path.lstat() for path in folder.rglob("*")]
    return len(found), sum(each.st_size for each in found)


def print_sizes() -> None:
    """Print how much is where."""
    print()
    print_table(["folder", "files and folders", "MB"])
    for folder in ("results/big", "results/big/pages", "results/mlflow-artifacts", "data", ".snakemake"):
        files, size = count_files(Path(folder))
        print_cells(f"`{folder}`", f"{files:,}", f"{size / 1e6:,.0f}")
    print_cells("`results/mlflow.db`", "1", f"{Path('results/mlflow.db').stat().st_size / 1e6:,.0f}")


def print_queries() -> None:
    """Print what MLflow's UI asks for when it lists, sorts, filters and compares runs."""
    print()
    print_table(["the UI's query", "seconds, median", "longest", "CPU seconds, median"])
    experiment = (client := client_for(Path("results"))).get_experiment_by_name("big").experiment_id
    found = [run.info.run_id for run in client.search_runs([experiment], max_results=10)]
    with mlflow_server(Path("results").resolve()) as address:
        for query, ask in queries(address, experiment, found, "final/accuracy", "fig", "loss").items():
            ask()
            print_spread(query, [spend(ask) for _ in range(5)])


def measure(config: Path) -> None:
    """Print what the commands of a study take that is written."""
    print_table(["command", "seconds", "CPU seconds", "peak memory, MB"])
    for what, command in list_commands(config).items():
        taken = run(command)
        if "stale:" in taken.printed:
            raise RuntimeError(f"what was written is stale: {taken.printed[-2000:]}")
        print_cells(what, f"{taken.seconds:,.1f}", f"{taken.core:,.1f}", f"{taken.megabytes:,.0f}")
    print_sizes()
    print_queries()
    if CHROMIUM:
        page = Path("results/big/partial.html")
        print(
            f"\nThe page of {page.stat().st_size / 1e6:.1f} MB loads in {min(load_page(page) for _ in range(3)):.2f} s."
        )


def main(*, variants: Count = 78, seeds: Count = 8, networks: Count = 4, folder: Path | None = None) -> None:
    """Write a study into a folder, or a temporary one, and print what its commands take; one that is there is taken."""
    print_machine(None)
    with TemporaryDirectory() as scratch:
        where = folder or Path(scratch)
        where.mkdir(parents=True, exist_ok=True)
        with chdir(where):
            if not (config := Path("big.yaml")).exists():
                write_config(config, variants, seeds, NETWORKS[:networks])
                jobs = write_study(config)
                remember_outputs([config])  # minutes: Snakemake waits 0.1 s for each job
                print(f"{jobs:,} jobs: {variants * networks} discriminators, each of {seeds} seeds\n")
            measure(config)


if __name__ == "__main__":
    cyclopts.run(main)
