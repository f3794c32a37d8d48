"""What was begun and is not whole: checkpoints cut anywhere or of another version, a full disk, killed helpers."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from fig.checkpoint import FILES, digest
from fig.data.arrays import Split
from fig.data.catalogue import Recipe
from fig.data.listing import Listing
from fig.data.prepare import READERS, prepare
from fig.runtime.record import Origin, Record, Times, read_record
from fig.settings import Augmentation, Pretraining
from fig.stages.pretrain import Pretrain
from fig.stages.support import trainer
from support.disks import Disk
from support.writers import UNFINISHED, WRITERS, contents

CHECKPOINT, SAMPLES = WRITERS["checkpoint"], WRITERS["unfinished samples"]


def cut_everywhere(path: Path) -> list[bytes]:
    """The file as it is after a writer without care was killed: each beginning of it, every few bytes."""
    whole = path.read_bytes()
    return [whole[:length] for length in range(0, len(whole), 13)]


def test_a_checkpoint_that_is_cut_anywhere_gives_way_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    write, names = CHECKPOINT
    write(tmp_path, 1)
    write(tmp_path, 2)
    for count, part in enumerate(cut_everywhere(tmp_path / FILES[0]), 1):
        (tmp_path / FILES[0]).write_bytes(part)
        assert contents(tmp_path, names) == [1]
        assert caplog.text.count(f"{tmp_path / FILES[0]} is damaged") == count
    assert count > 20


def test_unfinished_samples_that_are_cut_anywhere_are_refused_by_their_name(tmp_path: Path):
    write, names = SAMPLES
    write(tmp_path, 1)
    for part in cut_everywhere(tmp_path / UNFINISHED):
        (tmp_path / UNFINISHED).write_bytes(part)
        file = tmp_path / UNFINISHED
        with pytest.raises(ValueError, match=rf"{file} is no unfinished drawing that can be read \(.*\): delete it to"):
            contents(tmp_path, names)


def of_format(path: Path, number: str) -> None:
    """Write the file as another version does; with no number, as one did before there was any."""
    with safe_open(path, framework="pt") as file:
        header = {name: value for name, value in file.metadata().items() if name not in ("sha256", "format")}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
    header |= {"format": number} if number else {}
    save_file(tensors, path, header | {"sha256": digest(tensors, header)})


@pytest.mark.parametrize("number", ["", "1", "99"])
@pytest.mark.parametrize(("written", "name"), [(CHECKPOINT, FILES[0]), (SAMPLES, UNFINISHED)])
def test_what_another_version_left_unfinished_is_refused_in_a_sentence(written, name: str, number: str, tmp_path: Path):
    write, names = written
    write(tmp_path, 1)
    of_format(tmp_path / name, number)
    with pytest.raises(ValueError, match=rf"{tmp_path / name} was written by another version of FIG: delete it"):
        contents(tmp_path, names)


def pretraining(train: Path, place: Path) -> Pretrain:
    return Pretrain(
        train=train,
        variant="standard",
        method="standard",
        network="resnet18",
        architecture={"width": 1 / 16},
        training=Pretraining(epochs=0, iterations=6, batch_size=16, learning_rate=0.05, log_every=1),
        augmentation=Augmentation(size=16),
        output=place / "out",
        checkpoints=place / "checkpoints",
    )


def train_here(job: Pretrain) -> bytes:
    """The weights that a job trains in this process."""
    trainer.train_discriminator(job, lambda function, call: function(call))
    return (job.output / "model.safetensors").read_bytes()


@pytest.fixture
def train(stripes: Split, tmp_path: Path) -> Path:
    """The prepared split, as a file."""
    return Path(str(stripes.images.filename))


def test_a_disk_that_fills_up_during_a_training_is_a_sentence_and_the_rerun_ends_with_the_same_weights(
    train: Path, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    saves: list[int] = []
    save = trainer.save_checkpoint

    def saved(folder, key, players, progress) -> None:
        saves.append(progress.done)
        if len(saves) == 3:
            with disk.full():
                return save(folder, key, players, progress)
        return save(folder, key, players, progress)

    monkeypatch.setattr(trainer, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(trainer, "SHARE_OF_SAVING", float("inf"))
    undisturbed = train_here(pretraining(train, tmp_path))
    monkeypatch.setattr(trainer, "save_checkpoint", saved)
    job = pretraining(train, disk.folder)
    with pytest.raises(OSError, match=r"the disk of \S+ is full: state\.safetensors was not written; free space there"):
        train_here(job)
    assert not (job.output / "model.safetensors").exists()
    assert train_here(job) == undisturbed
    assert saves[:4] == [1, 2, 3, 3], "it goes on from the checkpoint before"
    assert not list(disk.folder.glob("**/.partial-*"))


def test_a_clock_that_is_set_back_changes_no_weight_and_no_duration(
    train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usual = train_here(pretraining(train, tmp_path / "usual"))
    now = [2e9]

    def set_back() -> float:
        now[0] -= 3600
        return now[0]

    monkeypatch.setattr("time.time", set_back)
    times = Times()
    with times.measure("work"):
        assert train_here(pretraining(train, tmp_path / "set back")) == usual
    Record(Origin("pretrain", "", {}, {}), "", {}, times).write(tmp_path / "record.json")
    found = read_record(tmp_path / "record.json")
    assert found and 0 < found.times.work <= found.times.ended - found.times.started < 600


class Deadly(type(Path())):
    """An image at which a process that decodes dies, as one that takes too much memory does."""

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return kill_me, ()


def kill_me() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_process_that_decodes_is_a_sentence_and_what_was_prepared_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = tmp_path / "32" / "pets" / "train.npy"
    output.parent.mkdir(parents=True)
    for path in (output, output.with_suffix(".json")):
        path.write_text("as it was")

    class Reader:
        def __enter__(self) -> Listing:
            return Listing(["a.png"] * 200, lambda row: Deadly("a.png"), [], [])

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setitem(READERS, "images", lambda files, recipe: Reader())
    recipe = Recipe("images", "train", 32, "centre", short=32)
    with pytest.raises(
        RuntimeError, match=r"one of 2 processes that decode images was killed, .*: state fewer workers"
    ):
        prepare(output, [tmp_path], recipe, workers=2, progress=False)
    assert {path.name: path.read_text() for path in output.parent.iterdir()} == dict.fromkeys(
        ("train.npy", "train.json"), "as it was"
    )


DEADLY = """
import os, signal, torch
from fig.patching import patch
from fig.settings import Finetuning

class DeadlyImages(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, row):
        if row == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.zeros(3, 8, 8), row % 4

network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 4))
before = {name: value.clone() for name, value in network.state_dict().items()}
loader = torch.utils.data.DataLoader(DeadlyImages(), batch_size=4, num_workers=1)
try:
    patch(network, loader, training=Finetuning(iterations=4, batch_size=4), scaling=(0.5, 0.5), progress=False)
except RuntimeError as error:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would raise again, wherever this process is
    print(error, flush=True)
    print(all(value.equal(before[name]) for name, value in network.state_dict().items()), flush=True)
os._exit(0)
"""


def test_a_killed_worker_of_ones_own_loader_is_a_sentence_and_the_model_stays():
    # in a process of its own: torch's handler of SIGCHLD stays, and raises where it likes
    done = subprocess.run([sys.executable, "-c", DEADLY], text=True, capture_output=True, check=False)
    said, stays = done.stdout.splitlines()
    assert re.search(r"DataLoader worker .*(killed by signal|exited unexpectedly)", said) and stays == "True"
