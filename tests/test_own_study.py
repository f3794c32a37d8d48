"""One's own data and one's own trained classifier through FIG and evaluation, by nothing but YAML."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from support.workspace import Workspace, blocks, copy_of_project, copy_of_results

pytestmark = pytest.mark.pipeline

PAGE = Path(__file__).parents[1] / "docs" / "own_study.md"
QUICK = {"finetuning": {"iterations": 4, "batch_size": 16, "log_every": 2}}
WITH_RAY = {"resources": {"training": {"workers": 1}, "evaluation": {"workers": 0}}}
CONFIG = yaml.safe_load(blocks(PAGE, "yaml")[0]) | QUICK | WITH_RAY


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The finished study of docs/own_study.md, with fewer iterations and on a worker of Ray's."""
    workspace = copy_of_project(tmp_path_factory.mktemp("own"))
    for name, code in zip(("mymodels.py", "example.py", "use.py"), blocks(PAGE, "python"), strict=True):
        (workspace.folder / name).write_text(code)
    workspace.run("python", "example.py")
    (workspace.folder / "my.yaml").write_text(yaml.safe_dump(CONFIG))
    workspace.snakemake(configfile="my.yaml")
    return workspace


FOLDER = "results/mine/discriminators/mydigits/patched"


def test_the_standard_discriminator_is_the_trained_classifier_as_it_was(own: Workspace):
    ours = load_file(own.folder / FOLDER / "standard/0/model.safetensors")
    theirs = torch.load(own.folder / "mine/weights.pt", weights_only=True)
    assert ours.keys() == theirs.keys() and all(value.equal(theirs[name]) for name, value in ours.items())


def test_fig_patches_it_and_the_folder_rebuilds_it(own: Workspace):
    card = json.loads((own.folder / FOLDER / "fig/0/discriminator.json").read_text())["architecture"]
    assert card["factory"] == "mymodels:build" and card["mean"] == [0.5, 0.5, 0.5] and card["size"] == 16
    code = f"""
import torch
from pathlib import Path
from fig.discriminator import load
print(load(Path("{FOLDER}/fig/0"), trust_factory=True).eval()(torch.zeros(2, 3, 16, 16, dtype=torch.uint8)).shape)
"""
    assert "torch.Size([2, 10])" in own.run("python", "-c", code).stdout
    assert "grad_fn=<SoftmaxBackward0>" in own.run("python", "use.py").stdout


def test_it_is_evaluated_on_ones_own_sets_and_reported(own: Workspace):
    metrics = pd.read_csv(own.folder / "results/mine/metrics.csv")
    assert {"holidays-r-antialias", "holidays-c"} <= set(metrics["ood_dataset"].dropna())
    page = (own.folder / "results/mine/report.html").read_text()
    assert "windows of two photographs" in page and "elsewhere, taken as it is" in page


def test_editing_ones_own_network_reruns_what_is_made_of_it(own: Workspace, tmp_path: Path):
    workspace = copy_of_results(own, tmp_path)
    assert workspace.planned(configfile="my.yaml") == set()
    workspace.edit("mymodels.py", "nn.ReLU(),\n        nn.MaxPool2d", "nn.GELU(),\n        nn.MaxPool2d")
    assert "adopt" in workspace.planned(configfile="my.yaml")


def adopted(own: Workspace, tmp_path: Path, architecture: dict, checkpoint: Path):
    return own.run(
        *("python", "-m", "fig.stages.adopt", "--train", "data/16/mydigits/train.npy", "--network", "other"),
        *("--architecture", json.dumps(architecture), "--size", "16", "--weights", checkpoint),
        *("--output", tmp_path / "results/mine/discriminators/mydigits/other/standard/0"),
        check=False,
    )


@pytest.mark.parametrize(
    ("factory", "weights", "sentence"),
    [
        ("mymodels:built", "right", "cannot be imported"),
        ("mymodles:build", "right", "cannot be imported"),
        ("builtins:dict", "right", "is of Python's own library"),
        ("numpy:zeros", "right", "failed with its arguments"),
        ("sklearn.utils:Bunch", "right", "returned Bunch, not a torch.nn.Module"),
        ("mymodels:build", "of another network", "does not fit the network"),
        ("mymodels:build", "a pickle", "is no weights file"),
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
    done = adopted(own, tmp_path, {"factory": factory, "arguments": {"channels": 16}}, checkpoint)
    assert done.returncode == 1 and done.stderr.count("error:") == 1
    assert sentence in " ".join(done.stderr.split()) and "Traceback" not in done.stderr


def test_fewer_images_than_a_batch_are_refused_with_the_files_name(own: Workspace, tmp_path: Path):
    done = own.run(
        *("python", "-m", "fig.stages.pretrain", "--train", "data/16/mydigits/train.npy", "--network", "resnet18"),
        *("--architecture", '{"width": 0.0625}', "--augmentation.size", "16", "--output", tmp_path / "out"),
        *("--training.epochs", "1", "--training.batch-size", "2000", "--checkpoints", tmp_path / "checkpoints"),
        check=False,
    )
    assert "data/16/mydigits/train.npy holds 1437 images, fewer than a batch of 2000" in done.stderr


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("datasets.mydigits.train", {"path": "mine/nowhere"}, "datasets.mydigits.train.path: there is no mine/nowhere"),
        ("datasets.mydigits.test", None, "datasets.mydigits has neither test images nor a test_share"),
        ("datasets.mydigits.size", None, "datasets.mydigits.size is missing"),
        ("datasets.mydigits.sise", 3, "datasets.mydigits.sise: unknown key (did you mean 'size'?)"),
        ("networks.patched.checkpoint", "mine/none.pt", "networks.patched.checkpoint: there is no mine/none.pt"),
        ("networks.patched.factory", "network", "networks.patched.factory"),
    ],
)
def test_an_invalid_configuration_of_your_own_is_reported_before_any_job(
    own: Workspace, tmp_path: Path, key: str, value: object, sentence: str
):
    config = json.loads(json.dumps(CONFIG))
    *outer, last = key.split(".")
    place = config
    for name in outer:
        place = place[name]
    place.update({last: value}) if value is not None else place.pop(last)
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    done = own.snakemake("--dry-run", configfile=str(tmp_path / "my.yaml"), check=False)
    assert done.returncode and sentence in done.stdout + done.stderr
