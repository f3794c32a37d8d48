"""A served model among requests that are none: each is refused in a sentence, and the server works on as before."""

import json
import re
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import requests
from hypothesis import HealthCheck, given, settings

from fig.discriminator import Architecture, Discriminator
from fig.runtime.tracking import mirror, register
from support.malformed import JSON, REQUESTS, SIZE
from support.serving import png, served, write_discriminator

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(3600)]
UNFORESEEN = "unexpected error while evaluating the model"  # what MLflow says of an error of ours that is no refusal
ARCHITECTURE = Architecture("resnet18", classes=2, size=SIZE, width=1 / 16)
GREY = {"inputs": np.full((1, SIZE, SIZE, 3), 128).tolist()}
VALID = json.dumps(GREY).encode()
MEGABYTES = 1300  # that one body of 100 MB may leave taken for a while: MLflow's array of text has 4 bytes a letter
HEAD = b"POST /invocations HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n"


@dataclass
class Server:
    """A served model, and what it answered."""

    address: str
    log: Path
    statuses: Counter = field(default_factory=Counter)

    def post(self, body: bytes, kind: str | None = JSON) -> requests.Response:
        """Send a request and check that the answer is one that the page on MLflow promises."""
        headers = {} if kind is None else {"Content-Type": kind}
        found = requests.post(self.address, body, headers=headers, timeout=300)
        self.statuses[found.status_code] += 1
        assert found.status_code in (200, 400, 415, 500), found.text[:500]
        assert found.text.strip() and UNFORESEEN not in found.text, found.text[:2000]
        return found

    def megabytes(self) -> float:
        """The memory of the server's processes."""
        port = urlsplit(self.address).port
        ours = [each for each in psutil.process_iter() if is_of(each, port)]
        whole = {process for each in ours for process in (each, *each.children(recursive=True))}
        return sum(process.memory_info().rss for process in whole) / 1e6

    def faults_of_ours(self) -> list[str]:
        """The tracebacks in the server's log that lead through this project's code."""
        parts = re.split(r"(?=Traceback \(most recent call last\))", self.log.read_text())[1:]
        return [part[-2000:] for part in parts if "/fig/" in part]


def is_of(process: psutil.Process, port: int) -> bool:
    """Whether a process was started to serve at this port."""
    with suppress(psutil.Error):
        return "mlflow" in " ".join(process.cmdline()) and str(port) in process.cmdline()
    return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model of a small discriminator, served."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        where = tmp_path_factory.mktemp("served")
        folder = write_discriminator(Discriminator(ARCHITECTURE, seed=0), where)
        row = "0123456789abcdef,accuracy,,,,0.5"
        (folder / "metrics.csv").write_text(f"key,metric,detector,protocol,ood_dataset,value\n{row}\n")
        (folder / "scores").mkdir()
        np.savez(folder / "scores/baseline.npz", id=np.arange(20.0))
        mirror(folder)
        with served(register(folder), where) as address:
            yield Server(address, where / "server.log")


def post_hypothesis(server: Server, examples: int) -> None:
    """Send so many requests of hypothesis'."""

    @settings(max_examples=examples, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(REQUESTS)
    def check(request: tuple[bytes, str | None]) -> None:
        server.post(*request)

    check()


def numbers(count: int, text: str) -> bytes:
    """A JSON object of a number so many times in a list."""
    return b'{"inputs": [' + ",".join([text] * count).encode() + b"]}"


HUGE = {
    "100 MB of numbers": (numbers(5_000_000, "1234567890123456789"), "the images are of shape ()"),
    "100 MB of text": (json.dumps({"inputs": ["?" * 10**8]}).encode(), "image 0 is not base64"),
    "100 MB of base64": (json.dumps({"inputs": ["A" * 10**8]}).encode(), "image 0 is not a readable JPEG or PNG image"),
    "a picture of 2^26 pixels": (
        json.dumps({"dataframe_records": [{"image": png(np.zeros((2**13, 2**13), np.uint8))}]}).encode(),
        "image 0 has 8,192 x 8,192 pixels: make it smaller",
    ),
}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"inputs": np.zeros((1, 8, 8, 3), int).tolist()},
            "the images are of shape (8, 8, 3): each must be (16, 16, 3)",
        ),
        ({"inputs": np.zeros((16, 16, 3), int).tolist()}, "the images are of shape (16, 3): each must be (16, 16, 3)"),
        ({"inputs": np.zeros((1, 3, 16, 16), int).tolist()}, "each must be (16, 16, 3)"),
        ({"inputs": np.full((1, 16, 16, 3), np.nan).tolist()}, "neither base64 nor whole numbers from 0 to 255"),
        ({"inputs": np.full((1, 16, 16, 3), np.inf).tolist()}, "neither base64 nor whole numbers from 0 to 255"),
        ({"inputs": np.full((1, 16, 16, 3), 10**18).tolist()}, "pixels are from 1000000000000000000 to"),
        ({"inputs": [[[[10**400] * 3] * 16] * 16]}, "neither base64 nor whole numbers"),
        ({"inputs": np.full((1, 16, 16, 3), -1).tolist()}, "pixels are from -1 to -1: they must be from 0 to 255"),
        ({"inputs": "a digit"}, "image 0 is not base64"),
        ({"inputs": None}, ""),
        ({"inputs": {"picture": []}}, "there is no column image, but picture"),
        ({"instances": [{"picture": "x"}]}, "there is no column image, but picture"),
        (
            {"inputs": np.full((1, 16, 16, 3), 9).tolist(), "params": {"id_acceptance": 2}},
            "a share of 2.0 of the ID images",
        ),
        (GREY | {"params": {"id_acceptance": float("nan")}}, "a share of nan"),
        (GREY | {"params": {"id_acceptance": None}}, "id_acceptance is None: it must be a number"),
        (GREY | {"params": {"id_acceptance": "half"}}, "id_acceptance"),
        ({"inputs": [], "instances": []}, "exactly one of the input fields"),
        ({}, "exactly one of the input fields"),
        ([], "Received a list"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_in_a_sentence(server: Server, data: object, sentence: str):
    found = server.post(json.dumps(data).encode())
    assert found.status_code == 400 and sentence in found.json()["message"]


@pytest.mark.parametrize("what", HUGE)
def test_what_is_far_too_large_is_refused_in_a_sentence_and_takes_no_memory_more_than_once(server: Server, what: str):
    body, sentence = HUGE[what]
    before, taken = server.megabytes(), []
    for _ in range(3):
        found = server.post(body)
        taken.append(server.megabytes() - before)
        assert found.status_code == 400 and sentence in found.json()["message"] and len(found.text) < 1000
    print(f"{what}: {', '.join(f'{each:+.0f}' for each in taken)} MB")
    assert taken[-1] < MEGABYTES


def test_slow_clients_keep_nobody_waiting(server: Server):
    host = urlsplit(server.address)
    slow = [socket.create_connection((host.hostname, host.port), timeout=30) for _ in range(50)]
    for each in slow:
        each.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{"
        )
    assert server.post(VALID).status_code == 200
    for each in slow:
        with closing(each):
            each.sendall(b'"')
    assert server.post(VALID).status_code == 200


def test_a_hundred_requests_of_hypothesis_are_refused_or_answered_and_none_fails_in_our_code(server: Server):
    post_hypothesis(server, 100)
    assert server.faults_of_ours() == [] and server.post(VALID).status_code == 200


def test_two_hundred_at_once_are_all_answered(server: Server):
    def ask(_: int) -> tuple[int, float]:
        began = perf_counter()
        return server.post(VALID).status_code, perf_counter() - began

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(ask, range(200)))
    times = sorted(seconds for _, seconds in answers)
    print(f"200 at once: median {median(times):.2f} s, longest {times[-1]:.2f} s")
    assert {status for status, _ in answers} == {200}


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_of_ten_thousand_requests_of_hypothesis_none_fails_in_our_code_and_memory_stays_flat(server: Server):
    post_hypothesis(server, 1000)
    before = server.megabytes()
    server.statuses.clear()
    post_hypothesis(server, 10_000)
    print(f"statuses: {dict(server.statuses)}; memory: {before:.0f} MB, then {server.megabytes():.0f} MB")
    assert server.statuses.total() >= 10_000 and server.statuses[500] < 0.05 * server.statuses.total()
    assert server.faults_of_ours() == []
    assert server.megabytes() < before + 100
    assert server.post(VALID).status_code == 200
