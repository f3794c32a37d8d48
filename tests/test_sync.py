"""What `fig sync` does about servers that fail and folders that are damaged, and what it never shows."""

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow import MlflowClient

from fig.commands.sync import sync as sync_command
from fig.runtime import tracking
from fig.runtime.tracking import TrackingError, mirror, sync, try_to_mirror
from support.processes import free_port
from support.tracked import discriminator

pytestmark = pytest.mark.pipeline


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings since the last call."""
    found = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    caplog.clear()
    return found


ADDRESSES = {  # the words of the warning for each
    "http://me:hush@127.0.0.1:{port}": "http://127.0.0.1:{port}: [Errno 111] Connection refused",
    "http://me:hu/sh@127.0.0.1:{port}": "http://",
    "http://me:hush@@127.0.0.1:{port}": "http://127.0.0.1:{port}",
    "https://me:hush@127.0.0.1:{port}/mlflow?token=hush": "https://127.0.0.1:{port}/mlflow?token=: ",
    "http://me:hush@no-such-host.invalid": "http://no-such-host.invalid: ",
    "http://me:hush@127.0.0.1:99999": "http://127.0.0.1:99999: ",
    "http://": "http://",
    "postgresql://me:hush@127.0.0.1:{port}/runs": "postgresql://127.0.0.1:{port}/runs: No module named 'psycopg2'",
    "mysql+pymysql://me:hush@h/runs?password=hush": "mysql+pymysql://h/runs?password=: No module named 'pymysql'",
    "ftp://me:hush@h/runs": "ftp://h/runs: ",
    "uc:hush": "Unity Catalog",
    "nonsense": "nonsense: ",
    "sqlite://": "names no file: write sqlite:///<file>",
    "sqlite:///": "names no file: write sqlite:///<file>",
    "sqlite:///:memory:": "names no file: write sqlite:///<file>",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_that_leads_nowhere_is_one_warning_without_its_password(
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
):
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address.format(port=port))
    folder = discriminator(tmp_path, seed=0)
    try_to_mirror(folder)
    (message,) = messages(caplog)
    assert ADDRESSES[address].format(port=port) in message and "\n" not in message and len(message) < 500
    assert address == "uc:hush" or "hush" not in message + "".join(capfd.readouterr())
    with pytest.raises(RuntimeError) as refused:  # of which commands make a sentence and status 1
        mirror(folder)
    assert isinstance(refused.value, TrackingError) and (address == "uc:hush" or "hush" not in str(refused.value))
    assert {path.name for path in tmp_path.iterdir()} <= {"tiny", "mlflow.lock"}


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[str]:
    """A server that gives every request the same answer."""

    class Answer(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://me:hush@127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()
            thread.join()


ANSWERS = {
    "a web page": (200, b"<html>Welcome</html>"),
    "nothing": (200, b""),
    "a list": (200, b"[1, 2]"),
    "null": (200, b"null"),
    "no words": (200, b"\xff\xfe\x00"),
    "another program's JSON": (200, b'{"experiment": 3}'),
    "who are you": (401, b"You are not authenticated"),
    "forbidden": (403, b'{"error_code": "PERMISSION_DENIED", "message": "no\\nmore"}'),
    "not here": (404, b"<html>404</html>"),
    "too large": (413, b"too large"),
    "broken": (500, b"Traceback (most recent call last):\n  File"),
    "elsewhere": (
        302,
        b"",
    ),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_any_answer_of_a_server_is_one_warning_and_no_failed_job(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    headers = {"Location": "http://127.0.0.1:1/"} if answer == "elsewhere" else {}
    with answering(*ANSWERS[answer], **headers) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        try_to_mirror(discriminator(tmp_path, seed=0))
    (message,) = messages(caplog)
    assert message.startswith(f"MLflow was not updated ({address.replace('me:hush@', '')}: ") and "hush" not in message
    assert "\n" not in message and len(message) < 500


COLUMNS = "key,metric,detector,protocol,ood_dataset,value"
NO_CARD = "discriminator.json is no JSON object that can be read ("
NO_HISTORY = "history.csv is no "
NO_METRICS = "metrics.csv is no table that can be read ("
DAMAGED = {  # file, what it holds, words of the warning
    "a card that is no JSON": (
        "discriminator.json",
        "{'key'",
        NO_CARD,
    ),
    "a card of half a file": (
        "discriminator.json",
        '{"key": "a", "architecture"',
        NO_CARD,
    ),
    "an empty card": ("discriminator.json", "", NO_CARD),
    "a card that is a list": ("discriminator.json", "[]", NO_CARD),
    "a card without a key": (
        "discriminator.json",
        '{"seed": 0}',
        NO_CARD,
    ),
    "a card of bytes": (
        "discriminator.json",
        b"\xff\xfe\x00",
        NO_CARD,
    ),
    "an empty history": ("history.csv", "", NO_HISTORY),
    "a history of its head": ("history.csv", "iteration,time,loss\n", NO_HISTORY),
    "a history of two rows in one": (
        "history.csv",
        "iteration,time,loss\n5,100,1,10,101,1\n",
        NO_HISTORY,
    ),
    "a history of half a row": ("history.csv", "iteration,time,loss\n5\n", NO_HISTORY),
    "a history of words": ("history.csv", "iteration,time,loss\n5,noon,1\n", NO_HISTORY),
    "a history without end": ("history.csv", "iteration,time,loss\n5,inf,1\n", NO_HISTORY),
    "a history of bytes": ("history.csv", b"\x00\xff" * 100, NO_HISTORY),
    "no history": ("history.csv", None, NO_HISTORY),
    "a measure of words": (
        "metrics.csv",
        f"{COLUMNS}\nKEY,auroc,,,,high\n",
        NO_METRICS,
    ),
    "measures without names": ("metrics.csv", "0.9\n0.8\n", NO_METRICS),
    "a card without settings": (
        "discriminator.json",
        '{"key": "a", "id_dataset": 3}',
        NO_CARD,
    ),
}


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results whose discriminator of seed 0 is in MLflow."""
    results = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        mirror(discriminator(results, seed=0))
    return results


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_discriminator_is_skipped_by_name_and_the_others_are_mirrored(
    case: str, synced: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    name, content, words = DAMAGED[case]
    folder = discriminator(synced, seed=1 + list(DAMAGED).index(case))
    file = folder / name
    whole = file.read_bytes()
    if content is None:
        file.unlink()
    else:
        text = content.encode() if isinstance(content, str) else content
        file.write_bytes(text.replace(b"KEY", json.loads((folder / "discriminator.json").read_text())["key"].encode()))
    with pytest.raises(RuntimeError, match="1 of 2 discriminators could not be mirrored"):
        sync_command(synced)
    (message,) = messages(caplog)
    assert message.startswith(f"{folder} was skipped: {folder}/") and words in message and "make it again" in message
    try_to_mirror(folder)
    assert "MLflow was not updated" in messages(caplog)[0]
    file.write_bytes(whole)
    assert sync(synced) == (2, 0)
    shutil.rmtree(folder)


def test_a_sync_gives_up_after_three_failures_in_a_row_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    folders = [discriminator(tmp_path, seed) for seed in range(9)]
    failing = [folders[seed] for seed in (0, 1, 3, 4, 6, 7, 8)]
    tried = []

    def fail_for_some(folder: Path) -> None:
        tried.append(folder)
        if folder in failing:
            raise TrackingError("no answer")

    monkeypatch.setattr(tracking, "mirror", fail_for_some)
    with pytest.raises(RuntimeError, match="3 discriminators in a row could not be mirrored: no answer"):
        sync_command(tmp_path)
    assert tried == folders and len(messages(caplog)) == 6
    failing[:], tried[:] = folders[:3], []
    with pytest.raises(RuntimeError, match="in a row"):
        sync_command(tmp_path)
    assert tried == folders[:3]
    failing.pop()
    with pytest.raises(RuntimeError, match="2 of 9 discriminators could not be mirrored: the warnings say why"):
        sync_command(tmp_path)


def test_a_clock_that_was_set_back_gives_no_run_a_negative_duration(synced: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = discriminator(synced, seed=100)
    (folder / "history.csv").write_text("iteration,time,loss\n5,100.5,1\n10,101.5,0.9\n15,99.5,0.8\n")
    run = MlflowClient(f"sqlite:///{synced}/mlflow.db").get_run(mirror(folder))
    assert (run.info.start_time, run.info.end_time) == (100500, 101500)
