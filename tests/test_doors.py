"""Who may come in, and what goes out: ports, tokens, downloads, secrets, and names that would be markup."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import torch.distributed as dist
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import NameOID

from fig.data.catalogue import File, datasets_of
from fig.data.download import download
from fig.settings import read_settings
from fig.study.config import Data
from support.publisher import published
from support.workspace import SECRETS, Workspace

TESTS = Path(__file__).parent
ROOT = TESTS.parent
DRIVER = """
import json, test_doors
from fig.runtime.cluster import run_on_workers
from fig.runtime.record import Times
from fig.settings import Resources
print(json.dumps(run_on_workers(test_doors.look_around, {}, Resources(workers=2), Times())))
"""
ASK = "import ray, sys; ray.init(sys.argv[1], logging_level='ERROR'); print(ray.cluster_resources())"


def secrets_in(content: bytes, secrets: Mapping[str, str]) -> list[str]:
    """Names of the secrets that stand in a file."""
    return [name for name, value in secrets.items() if value.encode() in content]


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
    leaked = [name for path in logs for name in secrets_in(path.read_bytes(), SECRETS | {"RAY_AUTH_TOKEN": token})]
    return {
        "doors": doors,
        "sum": summed.item(),
        "answers": answers,
        "token": token,
        "logs": len(logs),
        "leaked": leaked,
    }


def is_loopback(address: str) -> bool:
    found = ip_address(address)
    return (found.ipv4_mapped or found if isinstance(found, IPv6Address) else found).is_loopback


@pytest.mark.pipeline
def test_all_of_a_jobs_ray_listens_on_loopback_and_answers_only_who_has_its_token(tmp_path: Path):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = plain | SECRETS | {"PYTHONPATH": str(TESTS), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER], env=environment, text=True, capture_output=True, check=False, cwd=ROOT
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
    assert seen["logs"] > 5 and seen["leaked"] == [] and not list(tmp_path.rglob("*token*"))


@pytest.mark.pipeline
def test_no_secret_of_the_environment_is_in_a_log_a_record_a_result_or_mlflow(finished: Workspace, shared: Path):
    assert secrets_in((shared / "finished.done").read_bytes(), SECRETS) == []
    inside = {path: path.relative_to(finished.folder).parts[0] for path in finished.folder.rglob("*") if path.is_file()}
    made = [path for path, part in inside.items() if part != "tests"]  # where the secrets are listed
    assert {"results", ".snakemake", "data"} <= set(inside.values()) and len(made) > 100
    assert [path for path in made if b"planted-" in path.read_bytes()] == []


PAGES = [ROOT / "README.md", ROOT / "Makefile", *sorted((ROOT / "docs").glob("*.md"))]
OPENING = r"^.*(?:mlflow (?:ui|server|models serve)|ray start)\b.*$"


def test_no_command_of_the_pages_opens_a_port_to_others_and_mlflow_opens_none_unasked():
    cli = pytest.importorskip("mlflow.cli")
    found = [line for page in PAGES for line in re.findall(OPENING, page.read_text(), re.MULTILINE)]
    assert len(found) >= 5
    for line in found:
        assert not re.search(r"--(dashboard-)?host\b", line) or "lets" in line, line
        assert "ray start" not in line or (
            "--node-ip-address=127.0.0.1" in line and "--include-dashboard=false" in line
        )
    commands = cli.cli.commands["server"], cli.cli.commands["models"].commands["serve"]
    defaults = [{option.name: option.default for option in command.params}["host"] for command in commands]
    assert defaults == ["127.0.0.1"] * 2


CONTENT = b"what was published"
HASH = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
BY_HAND = r"name its folder as data\.mirror"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    host = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path: Path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(private + built.add_extension(host, False).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    return path


@pytest.mark.parametrize(
    ("scheme", "to", "known", "refused"),
    [
        ("https", "http://127.0.0.1", HASH, rf"sends on to http://127\.0\.0\.1, which is not encrypted: .* {BY_HAND}"),
        ("https", "http://127.0.0.1", "", "which is not encrypted"),
        ("https", "ftp://127.0.0.1", HASH, "which is not encrypted"),
        ("http", "http://localhost", "", r"another host, and the file has no hash .* state its hash in files"),
        ("http", "http://localhost", HASH, ""),
        ("http", "http://127.0.0.1", "", ""),
    ],
)
def test_what_a_server_sends_on_to_is_followed_only_where_the_file_can_be_trusted(
    scheme: str,
    to: str,
    known: str,
    refused: str,
    certificate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    target, locked = tmp_path / "source" / "set.zip", tmp_path / "data.lock.yaml"
    with published({}, certificate if scheme == "https" else None) as first, published({"set.zip": CONTENT}) as second:
        first.moved["set.zip"] = f"{to}:{second.address.rpartition(':')[2]}/set.zip"
        expected = pytest.raises(OSError, match=refused) if refused else nullcontext()
        with expected as caught:
            download(target, File(f"{first.address}/set.zip", hash=known), "", True, locked, retries=0)
    if refused:
        assert "\n" not in str(caught.value) and not second.asked and not target.exists() and not locked.exists()
    else:
        assert target.read_bytes() == CONTENT


def test_a_server_whose_certificate_is_not_trusted_is_not_asked(certificate: Path, tmp_path: Path):
    with published({"set.zip": CONTENT}, certificate) as publisher:
        with pytest.raises(OSError, match=r"could not be fetched \(SSLError\)"):
            download(tmp_path / "source" / "set.zip", File(f"{publisher.address}/set.zip", hash=HASH), retries=0)
        assert not publisher.asked


@pytest.mark.parametrize("address", ["https://me:s3cr3t@host/x.zip", "https://s3cr3t@host/x.zip"])
def test_an_address_with_a_password_is_refused_with_the_remedy_and_without_the_password(address: str):
    files = {"train": {"files": [{"url": address, "hash": HASH}]}, "size": 8}
    with pytest.raises(ValueError, match=r"datasets\.own\.train\.files\[0\]\.url: .* ~/\.netrc") as caught:
        datasets_of({"own": files})
    assert "s3cr3t" not in str(caught.value)
    with pytest.raises(ValueError, match=r"data\.mirror: .* ~/\.netrc: machine host login") as caught:
        read_settings(Data, {"mirror": address}, "data")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("https://host/x.zip?Token=s3cr3t", r"a secret .Token=….* data\.mirror"),
        ("https://host/x.zip?dl=1&X-Amz-Signature=s3cr3t", "a secret .X-Amz-Signature=…"),
        ("ftp://me:s3cr3t@host/x.zip", "must begin with https:// or http://"),
        ("file:///etc/passwd", "must begin with https:// or http://"),
    ],
)
def test_an_address_with_a_secret_or_of_another_kind_is_refused(address: str, sentence: str):
    for read in (
        lambda: read_settings(File, {"url": address}, "file"),
        lambda: read_settings(Data, {"mirror": address}, "data"),
    ):
        with pytest.raises(ValueError, match=sentence) as caught:
            read()
        assert "s3cr3t" not in str(caught.value)


def test_the_password_of_a_mirror_comes_from_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cr3t\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with published({"source/set.zip": CONTENT}) as publisher:
        download(tmp_path / "source" / "set.zip", File("https://host/set.zip", hash=HASH), publisher.address)
    assert publisher.users == [f"Basic {base64.b64encode(b'me:s3cr3t').decode()}"]
