"""The power fails at every step of every file that lasts: under its name is what was there, or the whole new file."""

import ast
import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from fig.checkpoint import FILES, Progress, load_checkpoint, save_checkpoint
from fig.data.catalogue import File, Recipe
from fig.data.download import download, record
from fig.data.prepare import prepare
from fig.discriminator import Architecture, Card, Discriminator, save
from fig.files import PARTIAL, partial_folder, put_in_place
from fig.methods.protocol import NETWORK, Player
from fig.runtime.record import Origin, Record, Times
from fig.sampling import Drawing, load_drawing, save_drawing
from fig.stages.support.images import write_arrays
from fig.stages.support.scoring import write_metrics
from fig.stages.support.trainer import write_history
from fig.stages.support.writing import write_text
from support.power import PowerCutError, watched
from support.publisher import Publisher, published

ROOT = Path(__file__).parents[1]
SMALL = Architecture("resnet18", classes=2, size=16, width=1 / 16)
UNFINISHED = "samples.unfinished"
PUBLISHERS: list[Publisher] = []  # the one that serves while a test of this module runs


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
    folder.mkdir(parents=True, exist_ok=True)
    source = folder.with_name("images.npy")
    np.save(source, np.full((4, 16, 16, 3), value, np.uint8))
    prepare(folder / "test.npy", [source], Recipe("arrays", "test", 16, "centre", short=16), progress=False)


def copy_download(folder: Path, value: int) -> None:
    offered = folder.with_name("mirror") / folder.name / "a.zip"
    offered.parent.mkdir(parents=True, exist_ok=True)
    offered.write_bytes(bytes([value]) * 1000)
    known = f"md5:{hashlib.md5(offered.read_bytes()).hexdigest()}"
    download(folder / "a.zip", File("http://x.invalid/a.zip", hash=known), str(folder.with_name("mirror")))


def fetch_download(folder: Path, value: int) -> None:
    content = PUBLISHERS[0].files["a.zip"] = bytes([value]) * 1000
    known = f"md5:{hashlib.md5(content).hexdigest()}"
    download(folder / "a.zip", File(f"{PUBLISHERS[0].address}/a.zip", hash=known))


def record_hash(folder: Path, value: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.with_name("a.zip").write_bytes(bytes([value]))
    record(folder / "hashes.yaml", "http://x.invalid/a.zip", folder.with_name("a.zip"))


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
        lambda folder, value: Record(Origin("s", str(value), {}, {}), "c", {}, Times(0)).write(folder / "r.json"),
        ("r.json",),
    ),
    "scores": (lambda folder, value: write_arrays(folder / "a.npz", id=np.full(9, value)), ("a.npz",)),
    "table": (lambda folder, value: write_text(folder / "table.md", f"{value}" * 100), ("table.md",)),
    "unfinished samples": (
        lambda folder, value: save_drawing(folder / UNFINISHED, Drawing(done=value, noise=torch.full((9,), value))),
        (UNFINISHED,),
    ),
}
by_writer = pytest.mark.parametrize("name", WRITERS)


@pytest.fixture(autouse=True, scope="module")
def publisher() -> Iterator[None]:
    with published({}) as publisher:
        PUBLISHERS.append(publisher)
        yield
        PUBLISHERS.pop()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written twice is the same."""
    monkeypatch.setattr("time.time", lambda: 1e9)


def contents(folder: Path, names: tuple[str, ...]) -> list[object]:
    """What a reader finds under these names or, of what goes on, how far it has come, once its numbers are right."""
    if names == (UNFINISHED,):
        drawing = load_drawing(folder / UNFINISHED, torch.device("cpu"))
        assert drawing.noise is not None and drawing.noise.eq(drawing.done).all()
        return [drawing.done]
    if names:
        return [(folder / name).read_bytes() for name in names]
    network = torch.nn.Linear(3, 2)
    done = load_checkpoint(folder, "key", {NETWORK: Player(network, None)}).done
    assert network.weight.eq(done).all()
    return [done]


@by_writer
def test_a_file_is_flushed_before_it_gets_its_name_and_the_name_thereafter(name: str, tmp_path: Path):
    write, _ = WRITERS[name]
    write(tmp_path / "new", 1)
    with watched(tmp_path / "new") as disk:
        write(tmp_path / "new", 2)
    moved = [index for index, (what, _, _) in enumerate(disk.steps) if what == "replace"]
    for index in moved:
        _, source, target = disk.steps[index]
        assert PARTIAL in f"{source.relative_to(target.parent)}" or source.name in FILES, "not from its own folder"
        assert ("flush", source, source) in disk.steps[:index]
        assert disk.steps[index + 1] == ("flush", target.parent, target.parent)
    assert moved


@by_writer
@pytest.mark.parametrize("keeps_names", [True, False], ids=["names kept", "names lost"])
def test_whenever_the_power_fails_the_old_or_the_whole_new_file_is_there_and_the_next_run_cleans_up(
    name: str, keeps_names: bool, tmp_path: Path
):
    write, names = WRITERS[name]
    whole = tmp_path / "whole" / "set"
    write(whole, 1)
    before = contents(whole, names)
    with watched(whole) as undisturbed:
        write(whole, 2)
    after = contents(whole, names)
    assert before != after
    for cut in range(len(undisturbed.steps)):
        folder = tmp_path / f"{cut}" / "set"
        write(folder, 1)
        with watched(folder, cut) as disk, pytest.raises(PowerCutError):
            write(folder, 2)
        disk.lose(keeps_names)
        for found, old, new in zip(contents(folder, names), before, after, strict=True):
            assert found in (old, new), f"cut at {undisturbed.steps[cut]}"
        if name == "discriminator":
            assert contents(folder, names) != [before[0], after[1]], "the card is of weights that are not there"
        write(folder, 2)
        assert contents(folder, names) == after
        assert not [path for path in folder.iterdir() if path.name.startswith(PARTIAL)]


def test_no_other_function_gives_files_their_names():
    for path in ROOT.glob("fig/**/*.py"):
        tables = "report" in path.parts  # a table has a method `replace` of one argument, too
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner, name = ast.unparse(node.func.value), node.func.attr
                of_a_path = len(node.args) == 1 and not node.keywords and not tables
                moves = name in ("rename", "replace", "move") and (of_a_path or owner in ("os", "shutil"))
                assert not moves or path == ROOT / "fig" / "files.py", f"{path}:{node.lineno}"
