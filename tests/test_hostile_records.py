"""Records, descriptions and checkpoints that are damaged count as none, or are refused by their file."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fig.checkpoint import FILES, Progress, load_checkpoint, read_state, save_checkpoint, write_state
from fig.methods.protocol import Player
from fig.runtime.record import Origin, Record, Times, hash_input, read_record
from fig.sampling import Drawing, load_drawing, save_drawing
from support.hostile import DAMAGED_JSON, Harmful, assert_sentence, files_below, put

# Records

RECORD = Record(
    Origin("finetune", "c0de", {"K": 0.1}, {"data/x.npy": "hash"}), "python -m …", {"workers": 1}, Times(1.0)
)
WRONG: dict[str, dict[str, object]] = {
    "no stage": {"stage": None},
    "a number for the code": {"code": 3},
    "a list of inputs": {"inputs": ["data/x.npy"]},
    "numbers for hashes": {"inputs": {"data/x.npy": 3}},
    "a text of settings": {"settings": "K"},
    "a list for the runtime": {"runtime": []},
    "texts for times": {"times": {"started": "yesterday"}},
    "no times": {"times": None},
}


@pytest.fixture
def record(tmp_path: Path) -> Path:
    RECORD.write(tmp_path / "training.record.json")
    return tmp_path / "training.record.json"


def rewritten(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("damage", DAMAGED_JSON)
def test_a_record_that_is_damaged_counts_as_none(damage: str, record: Path):
    put(record, DAMAGED_JSON[damage])
    assert read_record(record) is None


@pytest.mark.parametrize("damage", WRONG)
def test_a_record_whose_values_are_of_other_types_counts_as_none(damage: str, record: Path):
    rewritten(record, **WRONG[damage])
    assert read_record(record) is None


def test_a_record_of_a_later_version_is_read_as_far_as_it_is_known(record: Path):
    rewritten(record, version=9, times={"started": 1.0, "queued": 3.0}, parents=["a"])
    found = read_record(record)
    assert found is not None and found.origin == RECORD.origin and found.times.started == 1.0


@pytest.mark.parametrize("damage", [*DAMAGED_JSON, "no key", "a number for a key"])
def test_an_input_whose_description_is_damaged_is_refused_by_name(damage: str, tmp_path: Path):
    for name, key in {"discriminator.json": "key", "train.json": "sha256"}.items():
        path = tmp_path / name
        put(path, DAMAGED_JSON.get(damage, json.dumps({key: 3} if damage == "a number for a key" else {})))
        with pytest.raises(ValueError) as refused:
            hash_input(tmp_path if key == "key" else path.with_suffix(".npy"))
        assert_sentence(refused.value, ": (copy it again, or make it again|prepare it again)$", name)
        path.unlink()


# Checkpoints


def players(width: int = 3) -> dict[str, Player]:
    torch.manual_seed(width)
    return {"network": Player(torch.nn.Linear(2, width))}


def changed(**header: str | None) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        tensors, found = read_state(path)
        kept = {name: value for name, value in {**found, **header}.items() if value is not None}
        write_state(path, tensors, kept)

    return change


def of_another_network(path: Path) -> None:
    save_checkpoint(path.parent, "key", players(5), Progress(9))


DAMAGED_CHECKPOINTS: dict[str, Callable[[Path], object]] = {
    "half written": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(Harmful())),
    "torch's": lambda path: torch.save({"a": torch.zeros(1)}, path),
    "a header of 2^62 bytes": lambda path: path.write_bytes((2**62).to_bytes(8, "little")),
    "one bit": lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
    "of a later version": changed(progress='{"done": 3, "epochs": 1}'),
    "without progress": changed(progress=None),
    "of wrong types": changed(progress='["many", [], []]'),
    "nested": changed(progress="[" * 10**5),
    "of another network": of_another_network,
}


@pytest.mark.parametrize("damage", DAMAGED_CHECKPOINTS)
def test_a_checkpoint_that_is_damaged_or_of_another_version_gives_way_to_the_one_before(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    first, last = players(), players()
    for made, done in ((first, 1), (last, 2)):
        save_checkpoint(tmp_path, "key", made, Progress(done))
    DAMAGED_CHECKPOINTS[damage](tmp_path / FILES[0])
    if damage == "of another network":
        save_checkpoint(tmp_path, "key", first, Progress(1))
        (tmp_path / FILES[0]).rename(tmp_path / "kept")
        (tmp_path / FILES[1]).rename(tmp_path / FILES[0])
        (tmp_path / "kept").rename(tmp_path / FILES[1])
    resumed = players(3)
    assert load_checkpoint(tmp_path, "key", resumed).done == 1
    assert f"{FILES[0]} is damaged (" in " ".join(caplog.text.split()) and not Path("it-ran").exists()
    assert resumed["network"].module.weight.equal(first["network"].module.weight)


def test_the_rows_of_a_checkpoint_come_back_as_they_were_and_iterations_stay_whole(tmp_path: Path):
    progress = Progress(3, ({"iteration": 2, "time": 5.0, "loss": 0.25},), ({"loss": 1.0},))
    save_checkpoint(tmp_path, "key", players(5), progress)
    found = load_checkpoint(tmp_path, "key", players(5))
    assert repr(found) == repr(progress)


def test_a_checkpoint_of_another_job_is_refused_even_where_its_network_is_another(tmp_path: Path):
    save_checkpoint(tmp_path, "other", players(5), Progress(3))
    before = files_below(tmp_path)
    with pytest.raises(ValueError, match=r"belongs to job other, not to key: delete it to start afresh$"):
        load_checkpoint(tmp_path, "key", players())
    assert files_below(tmp_path) == before


@pytest.mark.parametrize("damage", ["half written", "empty", "a pickle", "one bit", "a header of 2^62 bytes"])
def test_an_unfinished_drawing_that_is_damaged_is_refused_by_name(damage: str, tmp_path: Path):
    save_drawing(tmp_path / "unfinished", Drawing(done=3), "key")
    DAMAGED_CHECKPOINTS[damage](tmp_path / "unfinished")
    with pytest.raises(ValueError) as refused:
        load_drawing(tmp_path / "unfinished", torch.device("cpu"), "key")
    assert_sentence(refused.value, ": delete it to start afresh$", "unfinished is no unfinished drawing")
