"""A long-lived Ray, named by RAY_ADDRESS and guarded by a token: stages share it and leave it alive."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.processes import wait_for
from support.workspace import Workspace, copy_of_results

pytestmark = [pytest.mark.pipeline, pytest.mark.long, pytest.mark.timeout(2400)]
JOBS = "ray._private.state.jobs()"
WAITING = "[each['state'] for each in ray.util.placement_group_table().values()].count('PENDING')"
STANDARD = "results/tiny/discriminators/digits/resnet18/standard/0"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of those who may use a Ray of three CPUs and a GPU that is none."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    options = ("--num-cpus=3", "--num-gpus=1", "--include-dashboard=false", "--disable-usage-stats")
    ports = (f"--port={port}", "--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0")
    command = [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        "--node-ip-address=127.0.0.1",
        *options,
        *ports,
    ]
    here = os.pathsep.join([*map(str, Path(__file__).parents[:2]), os.environ.get("PYTHONPATH", "")])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | token | {"PYTHONPATH": here}
    at_once = {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
    ray = subprocess.Popen(command, env=environment | at_once, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = {"RAY_ADDRESS": f"127.0.0.1:{port}"}
    wait_for(lambda: not socket.socket().connect_ex(("127.0.0.1", port)), "Ray")
    yield environment | address
    ray.terminate()
    ray.wait(60)


def ask_ray(cluster: dict[str, str], question: str) -> Any:
    """What the Ray says of itself."""
    code = f"import json, ray; ray.init(logging_level='ERROR'); print(json.dumps({question}))"
    done = subprocess.run([sys.executable, "-c", code], env=cluster, text=True, capture_output=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def noted(settings: dict[str, str]) -> str:
    """Say in a folder that this evaluation is at work, and be so until it is asked to end."""
    folder = Path(settings["folder"])
    (folder / f"{settings['name']}.begun").touch()
    while not (folder / "enough").exists():
        time.sleep(0.1)
    return os.environ["CUDA_VISIBLE_DEVICES"]


HALF = """
import functools, sys, test_ray
from ray.train import torch
from fig.runtime.cluster import run_on_workers
from fig.runtime.record import Times
from fig.settings import Resources

gloo = torch.TorchConfig(backend="gloo")  # there is no GPU for NCCL
torch.TorchTrainer = functools.partial(torch.TorchTrainer, torch_config=gloo)
settings = {"folder": sys.argv[1], "name": sys.argv[2]}
print(run_on_workers(test_ray.noted, settings, Resources(gpus_per_worker=0.5), Times()))
"""


def test_two_evaluations_of_half_a_gpu_share_it_and_a_third_waits(cluster: dict[str, str], tmp_path: Path):
    command = [sys.executable, "-c", HALF, tmp_path]
    evaluations = [subprocess.Popen([*command, name], env=cluster, stdout=subprocess.PIPE, text=True) for name in "abc"]
    wait_for(lambda: len(list(tmp_path.glob("*.begun"))) == 2, "two at once")
    wait_for(lambda: ask_ray(cluster, WAITING) == 1, "third that waits")
    assert len(list(tmp_path.glob("*.begun"))) == 2
    (tmp_path / "enough").touch()
    assert [evaluation.communicate()[0].split()[-1] for evaluation in evaluations] == ["0"] * 3


def test_two_evaluations_share_a_long_lived_ray_and_leave_it_alive(
    cluster: dict[str, str], finished: Workspace, tmp_path: Path
):
    workspace = copy_of_results(finished, tmp_path / "workspace")
    workspace.edit("tests/tiny.yaml", "evaluation: {workers: 0}", "evaluation: {workers: 1}")
    folders = [workspace.folder / STANDARD.replace("standard", variant) for variant in ("standard", "fig")]
    expected = [{path.name: dict(np.load(path)) for path in folder.glob("scores/*.npz")} for folder in folders]
    for folder in folders:
        (folder / "metrics.csv").unlink()
    ray = {name: value for name, value in cluster.items() if name.startswith("RAY_")}
    targets = [str((folder / "metrics.csv").relative_to(workspace.folder)) for folder in folders]
    workspace.run("snakemake", *targets, "--profile", "local", "--configfile", "tests/tiny.yaml", "--cores", "2", **ray)
    for folder, before in zip(folders, expected, strict=True):
        for name, scores in before.items():
            for key, values in np.load(folder / "scores" / name).items():
                np.testing.assert_array_equal(values, scores[key], err_msg=f"{folder} {name}")
    drivers = [driver for driver in ask_ray(cluster, JOBS) if "fig.stages.evaluate" in driver["Entrypoint"]]
    assert len(drivers) == 2 and all(driver["IsDead"] for driver in drivers)
    assert max(driver["StartTime"] for driver in drivers) < min(driver["EndTime"] for driver in drivers)
    wait_for(lambda: ask_ray(cluster, "ray.available_resources()").get("CPU") == 3, "free Ray")


def test_who_has_not_the_token_is_refused(cluster: dict[str, str]):
    stranger = cluster | {"RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_NUM_REDIS_GET_RETRIES": "3"}
    code = "import test_ray; from fig.runtime.cluster import *; "
    code += "run_on_workers(test_ray.noted, {}, Resources(), Times())"
    done = subprocess.run([sys.executable, "-c", code], env=stranger, text=True, capture_output=True, check=False)
    assert done.returncode and "InvalidAuthToken" in done.stderr
