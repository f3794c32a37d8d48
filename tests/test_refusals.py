"""What does not fit is refused in one sentence that names it."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fig.commands.options import parse_json
from fig.commands.probe import probe
from fig.data import readers
from fig.data.archives import open_archive
from fig.data.arrays import Split, write_images
from fig.data.catalogue import datasets_of, entries, recipe, size_of
from fig.data.prepare import fit
from fig.detectors.protocol import Seen
from fig.detectors.table import build_detector
from fig.discriminator import Architecture, Discriminator
from fig.evaluation import ready, score_split, scores
from fig.folding import fold
from fig.frozen import frozen
from fig.memory import halve_until_it_fits
from fig.methods.penalty import share_of
from fig.methods.protocol import Player
from fig.networks.heads import last_linear, with_head
from fig.networks.taps import Tap, kept_at
from fig.report.titles import split_ood_name
from fig.sampling import Drawing, Request, run_drawing
from fig.settings import SamplerSettings, read_settings
from fig.training import step

IMAGES = torch.zeros(1, 3, 8, 8)


def raise_no_room(rows: torch.Tensor) -> None:
    raise torch.OutOfMemoryError("no room")


BARE = nn.BatchNorm2d(1, track_running_stats=False)
REFUSED: dict[str, Callable[[], object]] = {
    r"--settings is not valid JSON: .*": lambda: parse_json("{", "--settings"),
    r"--settings must be a JSON object, not \[1\]": lambda: parse_json("[1]", "--settings"),
    r"fig probe needs the folder of at least one discriminator": probe,
    r"sampler is 3: it must be a mapping of keys to values": lambda: read_settings(SamplerSettings, 3, "sampler"),
    r"photos is a source of OOD images, not an ID data set": lambda: size_of(datasets_of(entries()), "photos"),
    r"K is 1.5: the low-entropy share must lie in \[0, 1\]": lambda: share_of(1.5, 128),
    r"the network has no linear layer, so its .*": lambda: last_linear(nn.Conv2d(3, 4, 1), IMAGES),
    r"no head is called 'round': choose one of linear, deconf, .*": lambda: with_head(nn.Linear(1, 1), "round", IMAGES),
    r"'photos' is not the name of an OOD set": lambda: split_ood_name("photos"),
    r"a batch norm without running statistics cannot be folded": lambda: fold([(nn.Conv2d(1, 1, 1), BARE)]),
    r"submodule 0 has no call 1 in .*": lambda: kept_at(nn.Sequential(nn.Flatten()), Tap("0", call=1), IMAGES),
    r"a loss names a player that has no optimiser: .*": lambda: step(Player(nn.Linear(1, 1)), torch.zeros(())),
    r"the drawing ended before its first sample": lambda: run_drawing(Request(1), iter([]), progress=False),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_value_that_does_not_fit_is_refused(sentence: str):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        REFUSED[sentence]()


def test_what_is_neither_detector_nor_observer_makes_no_scorer():
    with pytest.raises(TypeError, match=r"^Drawing has neither an observer nor a scorer$"):
        ready(Drawing())


def test_memory_that_does_not_suffice_for_one_row_is_the_callers_to_name():
    with pytest.raises(torch.OutOfMemoryError):
        list(halve_until_it_fits(raise_no_room, torch.arange(4)))


def archived(path: Path, content: bytes) -> Path:
    """A tar file with one member, b/data, and a folder."""
    with tarfile.open(path, "w") as tar:
        folder, member = tarfile.TarInfo("b"), tarfile.TarInfo("b/data")
        folder.type, member.size = tarfile.DIRTYPE, len(content)
        tar.addfile(folder)
        tar.addfile(member, io.BytesIO(content))
    return path


def test_an_archive_without_what_is_expected_is_refused_by_name(tmp_path: Path):
    path = archived(tmp_path / "a.tar", b"12345")
    with open_archive(path) as archive:
        with pytest.raises(FileNotFoundError, match="holds no c: it is not the expected archive, or not a whole one"):
            archive.read("c")
        with pytest.raises(FileNotFoundError, match=r"holds 0 files /c, not one: is it the right archive"):
            archive.only("/c")
        with pytest.raises(ValueError, match=r"a\.tar: data does not consist of records of 3074 bytes"):
            readers.records(archive, ["data"], 2, "names")
    with pytest.raises(FileNotFoundError, match=r"there is no .*nowhere"), open_archive(tmp_path / "nowhere"):
        pass
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("one/data", b"1")
    with open_archive(tmp_path / "a.zip") as archive:
        assert archive.read(archive.only("/data")) == b"1"


def test_no_images_are_no_split(tmp_path: Path):
    with pytest.raises(ValueError, match=r"train\.npy would hold no image"):
        write_images(tmp_path / "train.npy", [np.zeros((0, 8, 8, 3), np.uint8)])


def test_an_image_that_is_smaller_than_those_it_is_to_join_is_refused():
    wanted = replace(recipe("digits", "train", 32, datasets_of(entries()), own=False), way="", ready=True)
    with pytest.raises(ValueError, match="smaller than 32 pixels a side"):
        fit(Image.new("RGB", (16, 40)), 0, wanted, 0)


@pytest.mark.parametrize(("change", "name"), [("network", "gram"), ("arguments", "vim")])
def test_a_detector_that_cannot_judge_a_network_says_why(change: str, name: str, stripes: Split):
    if change == "network":
        made, sentence = build_detector("gram", {}), "it has no convolution beyond the first"
    else:
        pytest.importorskip("pytorch_ood")
        stated = {"detector": "pytorch_ood.detector.ViM", "arguments": {"dimensions": 4}}
        made, sentence = build_detector(name, stated), "pytorch_ood.detector.ViM cannot be made with {'dimensions': 4}"
    plain = Discriminator(Architecture("resnet18", classes=2, size=16, width=1 / 16), seed=0)
    if change == "network":
        plain.network = nn.Sequential(nn.Conv2d(3, 4, 16), nn.Flatten(), nn.Linear(4, 2))
        plain.architecture = replace(plain.architecture, taps=("0",))
    with pytest.raises(ValueError, match=sentence):
        scores(made, plain, stripes)


class Broken:
    """A scorer that gives no number."""

    settings, chosen = ("",), 0

    def scores(self, seen: Seen) -> torch.Tensor:
        return torch.full((len(seen.inputs), 1), torch.nan)


def test_scores_that_are_no_numbers_are_refused_by_the_names_of_detector_and_data(small: Discriminator, stripes: Split):
    detectors = {"mine": build_detector("baseline", {})}
    with frozen(small), pytest.raises(ValueError, match="detector mine gives scores that are not finite for stripes"):
        score_split(detectors, {"mine": Broken()}, small, stripes)
