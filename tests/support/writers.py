"""What writes the files that last, each into a folder of its own, in a first and a second version."""

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from fig.checkpoint import Progress, load_checkpoint, save_checkpoint
from fig.data.catalogue import File, Recipe
from fig.data.download import download, record
from fig.data.prepare import prepare
from fig.discriminator import Architecture, Card, Discriminator, save
from fig.files import partial_folder, put_in_place
from fig.methods.protocol import NETWORK, Player
from fig.runtime.record import Origin, Record, Times
from fig.sampling import Drawing, load_drawing, save_drawing
from fig.stages.support.images import write_arrays
from fig.stages.support.scoring import write_metrics
from fig.stages.support.trainer import write_history
from fig.stages.support.writing import write_text
from support.publisher import Publisher, published

SMALL = Architecture("resnet18", classes=2, size=16, width=1 / 16)
UNFINISHED, RECORD = "samples.unfinished", "training.record.json"
PUBLISHERS: list[Publisher] = []  # the one that serves
SOURCES = TemporaryDirectory(prefix="fig-tests-")  # what is written from, on a disk that is in order


def source_of(name: str, write: Callable[[Path], object]) -> Path:
    """A file to write from, written once."""
    path = Path(SOURCES.name) / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    return path


@pytest.fixture(autouse=True, scope="module")
def publisher() -> Iterator[None]:
    """Serve what WRITERS download."""
    with published({}) as serving:
        PUBLISHERS.append(serving)
        yield
        PUBLISHERS.pop()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written twice is the same."""
    monkeypatch.setattr("time.time", lambda: 1e9)


@cache
def small(value: int) -> Discriminator:
    return Discriminator(SMALL, seed=value)


def save_discriminator(folder: Path, value: int) -> None:
    save(folder, small(value), Card(SMALL, "stripes", "standard", value, str(value)))


def score(folder: Path, value: int) -> None:
    (folder / "discriminator.json").exists() or save_discriminator(folder, 1)
    write_metrics(folder, [{"metric": "accuracy", "value": value}])


def write_checkpoint(folder: Path, value: int) -> None:
    network = torch.nn.Linear(3, 2)
    torch.nn.init.constant_(network.weight, value)
    save_checkpoint(folder, "key", {NETWORK: Player(network, None)}, Progress(value))


def write_split(folder: Path, value: int) -> None:
    source = source_of(f"images-{value}.npy", lambda path: np.save(path, np.full((4, 16, 16, 3), value, np.uint8)))
    prepare(folder / "test.npy", [source], Recipe("arrays", "test", 16, "centre", short=16), progress=False)


def zipped(place: str, value: int) -> Path:
    return source_of(f"{place}/{value}/set/a.zip", lambda path: path.write_bytes(bytes([value]) * 1000))


def hash_of(path: Path) -> str:
    return f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}"


def copy_download(folder: Path, value: int) -> None:
    offered = zipped("mirror", value)
    download(folder / "a.zip", File("http://x.invalid/a.zip", hash=hash_of(offered)), str(offered.parents[1]))


def fetch_download(folder: Path, value: int) -> None:
    offered = zipped("server", value)
    PUBLISHERS[0].files["a.zip"] = offered.read_bytes()
    download(folder / "a.zip", File(f"{PUBLISHERS[0].address}/a.zip", hash=hash_of(offered)), retries=0)


def record_hash(folder: Path, value: int) -> None:
    record(folder / "hashes.yaml", "http://x.invalid/a.zip", zipped("accepted", value))


def export(folder: Path, value: int) -> None:
    with partial_folder(folder) as scratch:
        (scratch / "model.onnx").write_text(f"{value}" * 100)
        put_in_place(scratch / "model.onnx", folder / "model.onnx")


Writer = Callable[[Path, int], None]
WRITERS: dict[str, tuple[Writer, tuple[str, ...]]] = {  # what is written, and the names that it gets
    "checkpoint": (write_checkpoint, ()),
    "discriminator": (save_discriminator, ("model.safetensors", "discriminator.json")),
    "download from a server": (fetch_download, ("a.zip",)),
    "download from a mirror": (copy_download, ("a.zip",)),
    "exported model": (export, ("model.onnx",)),
    "hash of a download": (record_hash, ("hashes.yaml",)),
    "history": (lambda folder, value: write_history(folder / "history.csv", [{"loss": value}]), ("history.csv",)),
    "metrics": (score, ("metrics.csv",)),
    "prepared split": (write_split, ("test.npy", "test.json")),
    "record": (
        lambda folder, value: Record(Origin("s", str(value), {}, {}), "c", {}, Times(0)).write(folder / RECORD),
        (RECORD,),
    ),
    "scores": (lambda folder, value: write_arrays(folder / "a.npz", id=np.full(9, value)), ("a.npz",)),
    "table": (lambda folder, value: write_text(folder / "table.md", f"{value}" * 100), ("table.md",)),
    "unfinished samples": (
        lambda folder, value: save_drawing(folder / UNFINISHED, Drawing(done=value, noise=torch.full((9,), value))),
        (UNFINISHED,),
    ),
}


def contents(folder: Path, names: tuple[str, ...]) -> list[object]:
    """What a reader finds under these names or, of what goes on, how far it has come, once its numbers are right."""
    if names == (UNFINISHED,):
        drawing = load_drawing(folder / UNFINISHED, torch.device("cpu"))
        assert drawing.noise is not None and drawing.noise.eq(drawing.done).all()
        return [drawing.done]
    if names == (RECORD,):
        return [json.loads((folder / RECORD).read_text())["code"]]  # what it says of times differs
    if names:
        return [(folder / name).read_bytes() for name in names]
    network = torch.nn.Linear(3, 2)
    done = load_checkpoint(folder, "key", {NETWORK: Player(network, None)}).done
    assert network.weight.eq(done).all()
    return [done]
