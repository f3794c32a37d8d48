"""One's own data and one's own trained classifier through FIG and evaluation, by nothing but YAML."""

import json
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from workspace import Workspace, copy_of_project, copy_of_results

pytestmark = pytest.mark.pipeline

FACTORY = """
from torch import nn

def build(channels):
    body = nn.Sequential(nn.Conv2d(3, channels, 3, 2, 1), nn.BatchNorm2d(channels), nn.ReLU())
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2))
"""

CONFIG = {
    "run": "own",
    "preset": "paper",
    "seeds": [0],
    "datasets": {
        "pets": {"train": {"path": "mine/pets"}, "test_share": 0.25, "size": 20, "padding": 2, "flip": True},
        "holidays": {"about": "where we were", "images": {"path": "mine/holidays.zip", "under": "2025"}},
    },
    "networks": {
        "patched": {
            "factory": "mine.network:build",
            "arguments": {"channels": 8},
            "checkpoint": "mine/weights.pt",
            "mean": [0.4, 0.4, 0.4],
            "std": [0.2, 0.2, 0.2],
            "taps": ["0"],
        }
    },
    "studies": [
        {
            "id_datasets": ["pets"],
            "ood_datasets": ["holidays-r-antialias", "holidays-c"],
            "networks": ["patched"],
            "variants": ["standard", "fig"],
        }
    ],
    "detectors": {"baseline": {}},
    "variants": {"fig": {"method": "fig"}},
    "finetuning": {"iterations": 4, "batch_size": 16, "log_every": 2},
    "resources": {"training": {"workers": 1}, "evaluation": {"workers": 0}},
}


def encoded(red: int) -> bytes:
    draw = np.random.default_rng(red)
    pixels = draw.integers(0, 256, (26, 30, 3), dtype=np.uint8)
    pixels[..., 0] = red
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A finished study of one's own data and network."""
    workspace = copy_of_project(tmp_path_factory.mktemp("own"))
    mine = workspace.folder / "mine"
    for kind, red in (("cat", 0), ("dog", 150)):
        (mine / "pets" / kind).mkdir(parents=True)
        for number in range(24):
            (mine / "pets" / kind / f"{number}.png").write_bytes(encoded(red + number))
    with zipfile.ZipFile(mine / "holidays.zip", "w") as archive:
        for number in range(20):
            archive.writestr(f"2025/{number}.png", encoded(100 + number))
        archive.writestr("2024/old.png", encoded(0))
    (mine / "network.py").write_text(FACTORY)
    scope: dict = {}
    exec(FACTORY, scope)
    torch.save(scope["build"](8).state_dict(), mine / "weights.pt")
    (workspace.folder / "own.yaml").write_text(yaml.safe_dump(CONFIG))
    workspace.snakemake(configfile="own.yaml")
    return workspace


FOLDER = "results/own/discriminators/pets/patched"


def test_the_standard_discriminator_is_the_trained_classifier_as_it_was(own: Workspace):
    ours = load_file(own.folder / FOLDER / "standard/0/model.safetensors")
    theirs = torch.load(own.folder / "mine/weights.pt", weights_only=True)
    assert ours.keys() == theirs.keys() and all(value.equal(theirs[name]) for name, value in ours.items())


def test_fig_patches_it_and_the_folder_rebuilds_it(own: Workspace):
    card = json.loads((own.folder / FOLDER / "fig/0/discriminator.json").read_text())["architecture"]
    assert card["factory"] == "mine.network:build" and card["mean"] == [0.4, 0.4, 0.4] and card["size"] == 20
    code = f"""
import torch
from pathlib import Path
from fig.discriminator import load
print(load(Path("{FOLDER}/fig/0")).eval()(torch.zeros(2, 3, 20, 20, dtype=torch.uint8)).shape)
"""
    assert "torch.Size([2, 2])" in own.run("python", "-c", code).stdout


def test_it_is_evaluated_on_ones_own_sets_and_reported(own: Workspace):
    metrics = pd.read_csv(own.folder / "results/own/metrics.csv")
    assert {"holidays-r-antialias", "holidays-c"} <= set(metrics["ood_dataset"].dropna())
    page = (own.folder / "results/own/report.html").read_text()
    assert "where we were" in page and "elsewhere, taken as it is" in page


def test_editing_ones_own_network_reruns_what_is_made_of_it(own: Workspace, tmp_path: Path):
    workspace = copy_of_results(own, tmp_path)
    assert workspace.planned(configfile="own.yaml") == set()
    workspace.edit("mine/network.py", "nn.ReLU()", "nn.GELU()")
    assert "adopt" in workspace.planned(configfile="own.yaml")


def adopted(own: Workspace, tmp_path: Path, architecture: dict, checkpoint: Path):
    return own.run(
        *("python", "-m", "fig.stages.adopt", "--train", "data/20/pets/train.npy", "--network", "other"),
        *("--architecture", json.dumps(architecture), "--size", "20", "--checkpoint", checkpoint),
        *("--output", tmp_path / "results/own/discriminators/pets/other/standard/0"),
        check=False,
    )


@pytest.mark.parametrize(
    ("factory", "weights", "sentence"),
    [
        ("mine.network:built", "right", "cannot be imported"),
        ("mine.netwrk:build", "right", "cannot be imported"),
        ("builtins:dict", "right", "returned dict, not a torch.nn.Module"),
        ("mine.network:build", "of another network", "does not fit the network"),
        ("mine.network:build", "a pickle", "is no weights file"),
    ],
)
def test_a_network_or_checkpoint_that_does_not_fit_is_refused_in_one_sentence(
    own: Workspace, tmp_path: Path, factory: str, weights: str, sentence: str
):
    checkpoint = own.folder / "mine/weights.pt"
    if weights == "of another network":
        checkpoint = tmp_path / "other.safetensors"
        save_file({"weight": torch.zeros(2)}, checkpoint)
    if weights == "a pickle":
        checkpoint = tmp_path / "network.pt"
        torch.save(nn.Linear(2, 2), checkpoint)
    done = adopted(own, tmp_path, {"factory": factory, "arguments": {"channels": 8}}, checkpoint)
    assert done.returncode == 1 and done.stderr.count("error:") == 1
    assert sentence in " ".join(done.stderr.split()) and "Traceback" not in done.stderr


def test_fewer_images_than_a_batch_are_refused_with_the_files_name(own: Workspace, tmp_path: Path):
    done = own.run(
        *("python", "-m", "fig.stages.pretrain", "--train", "data/20/pets/train.npy", "--network", "resnet18"),
        *("--architecture", '{"width": 0.0625}', "--augmentation", '{"size": 20}', "--output", tmp_path / "out"),
        *("--training", '{"epochs": 1, "learning_rate": 0.1}', "--checkpoints", tmp_path / "checkpoints"),
        check=False,
    )
    assert "data/20/pets/train.npy holds 36 images, fewer than a batch of 128" in done.stderr


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("datasets.pets.train", {"path": "mine/nowhere"}, "datasets.pets.train.path: there is no mine/nowhere"),
        ("datasets.pets.test_share", None, "datasets.pets has neither test images nor a test_share"),
        ("datasets.pets.size", None, "datasets.pets.size is missing"),
        ("datasets.pets.sise", 3, "datasets.pets.sise is not a key of the configuration"),
        ("networks.patched.checkpoint", "mine/none.pt", "networks.patched.checkpoint: there is no mine/none.pt"),
        ("networks.patched.factory", "network", "networks.patched.factory"),
    ],
)
def test_what_is_wrong_with_ones_own_configuration_is_told_before_any_job(
    own: Workspace, tmp_path: Path, key: str, value: object, sentence: str
):
    config = json.loads(json.dumps(CONFIG))
    *outer, last = key.split(".")
    place = config
    for name in outer:
        place = place[name]
    place.update({last: value}) if value is not None else place.pop(last)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(config))
    done = own.snakemake("--dry-run", configfile=str(tmp_path / "own.yaml"), check=False)
    assert done.returncode and sentence in done.stdout + done.stderr
