"""Who may come in, and what goes out: ports, tokens, downloads, secrets, and names that would be markup."""

import json
import os
import subprocess
import sys
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import torch.distributed as dist

TESTS = Path(__file__).parent
DRIVER = """
import json, test_doors
from fig.runtime.cluster import run_on_workers
from fig.runtime.record import Times
from fig.settings import Resources
print(json.dumps(run_on_workers(test_doors.look_around, {}, Resources(workers=2), Times())))
"""
ASK = "import ray, sys; ray.init(sys.argv[1], logging_level='ERROR'); print(ray.cluster_resources())"


def ray_of_this_worker() -> list[psutil.Process]:
    """The job that this worker works for, and all that it has started."""
    process = psutil.Process()
    while "gcs_server" not in {child.name() for child in process.children()}:
        process = process.parent()
    return [process, *process.children(recursive=True)]


def look_around(_: dict[str, Any]) -> dict[str, Any]:
    """What a worker sees: who listens where, the sum over workers, and what a stranger and a friend are answered."""
    summed = torch.ones(1)
    dist.all_reduce(summed)
    dist.barrier()
    doors = [
        (process.name(), door.laddr.ip, door.laddr.port)
        for process in ray_of_this_worker()
        for door in process.net_connections("inet")
        if door.status == psutil.CONN_LISTEN
    ]
    gcs = next(f"127.0.0.1:{port}" for name, _, port in doors if name == "gcs_server")
    answers = {}
    for who, token in {"friend": {}, "stranger": {"RAY_AUTH_TOKEN": "0" * 64}}.items() if not dist.get_rank() else ():
        environment = os.environ | token | {"RAY_NUM_REDIS_GET_RETRIES": "1"}
        done = subprocess.run(
            [sys.executable, "-c", ASK, gcs], env=environment, text=True, capture_output=True, check=False
        )
        answers[who] = done.stdout + done.stderr
    dist.barrier()
    import ray  # not before the token is drawn

    token = os.environ["RAY_AUTH_TOKEN"]
    logs = [path for path in Path(ray._private.worker._global_node.get_session_dir_path()).rglob("*") if path.is_file()]
    told = [str(path) for path in logs if token.encode() in path.read_bytes()]
    return {"doors": doors, "sum": summed.item(), "answers": answers, "token": token, "logs": len(logs), "told": told}


def is_loopback(address: str) -> bool:
    found = ip_address(address)
    return (found.ipv4_mapped or found if isinstance(found, IPv6Address) else found).is_loopback


@pytest.mark.pipeline
def test_all_of_a_jobs_ray_listens_on_loopback_and_answers_only_who_has_its_token(tmp_path: Path):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = plain | {"PYTHONPATH": str(TESTS), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER], env=environment, text=True, capture_output=True, check=False, cwd=TESTS.parent
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["sum"] == 2
    names = {name for name, _, _ in seen["doors"]}
    assert {"gcs_server", "raylet"} <= names and len(seen["doors"]) >= 8
    assert [door for door in seen["doors"] if not is_loopback(door[1])] == []
    assert "'CPU': 2.0" in seen["answers"]["friend"]
    assert "InvalidAuthToken" in seen["answers"]["stranger"] and "CPU" not in seen["answers"]["stranger"]
    assert seen["token"] not in done.stdout.replace(json.dumps(seen), "") + done.stderr
    assert seen["logs"] > 5 and seen["told"] == [] and not list(tmp_path.rglob("*token*"))
