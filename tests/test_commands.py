"""The `fig` command, as a person calls it."""

import csv
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fig.data.arrays import Split
from fig.discriminator import Card, Discriminator, load, load_card, save
from fig.networks.building import build
from support.barriers import AFTER_CHECKPOINT, AFTER_DRAWING, Barrier
from support.workspace import ROOT

pytestmark = pytest.mark.slow


def fig(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fig", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture
def folder(small: Discriminator, tmp_path: Path) -> Path:
    """A saved discriminator of stripes."""
    output = tmp_path / "stripes" / "resnet18" / "standard" / "0"
    output.mkdir(parents=True)
    save(output, small, Card(small.architecture, "stripes", "standard", 0, "untrained"))
    return output


def test_sample_writes_a_picture_and_arrays(folder: Path, tmp_path: Path):
    out = tmp_path / "grid.png"
    printed = fig("sample", folder, "--count", 10, "--steps", 12, "--out", out).stdout
    arrays = np.load(out.with_suffix(".npz"))
    assert arrays["images"].shape == (10, 16, 16, 3) and (arrays["steps"] == 12).all()
    assert Image.open(out).size == (4 * 20, 3 * 20)
    assert f"{arrays['confidence'].mean():.3f}" in printed


def interrupt(folder: Path, point: str, *arguments: object) -> str:
    """Start the command, and send it Ctrl-C's signal where it has come to a point; what it says."""
    barrier = Barrier(folder, ROOT)
    barrier.close(point)
    process = subprocess.Popen(
        [sys.executable, "-m", "fig", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore Ctrl-C
        env=os.environ | barrier.environment,
    )
    barrier.wait()
    process.send_signal(signal.SIGINT)
    printed = process.communicate()[1]
    assert process.returncode == 130
    return printed


def test_sample_resumes_after_an_interrupt_with_the_same_samples(folder: Path, tmp_path: Path):
    arguments = ["sample", folder, "--count", 4, "--steps", 40, "--out"]
    printed = interrupt(tmp_path / "barrier", AFTER_DRAWING, *arguments, tmp_path / "broken.png")
    assert "the same command resumes" in printed
    assert list(tmp_path.glob(".broken-*.unfinished"))
    fig(*arguments, tmp_path / "broken.png")
    fig(*arguments, tmp_path / "whole.png")
    broken, whole = (np.load(tmp_path / f"{name}.npz") for name in ("broken", "whole"))
    assert all((broken[name] == whole[name]).all() for name in whole)
    assert not list(tmp_path.glob(".*"))


def test_probe_reports_a_number_a_curve_and_a_picture(folder: Path, tmp_path: Path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "probe.json"
    fig("probe", folder, "--count", 16, "--steps", 30, "--out", out)
    report = json.loads(out.read_text())["discriminators"]["stripes/resnet18/standard/0"]
    assert 0.5 <= report["confidence"] <= 1 and 10 <= report["steps"] <= 30
    assert len(report["mean"]) == len(report["share"]) == 31
    assert Image.open(out.with_suffix(".png")).width > 500


def test_patch_patches_a_discriminator_with_a_folder_of_images(folder: Path, stripes: Split, tmp_path: Path):
    for number, (pixels, label) in enumerate(zip(stripes.images, stripes.description.labels, strict=True)):
        path = tmp_path / "images" / stripes.description.classes[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    out = tmp_path / "patched"
    options = ["--iterations", 3, "--batch-size", 16]
    fig("patch", folder, tmp_path / "images", "--out", out, *options)
    card = load_card(out)
    assert card.variant == "fig" and card.settings["training"]["iterations"] == 3
    assert (out / "history.csv").read_text().count("\n") == 2
    assert (out / "model.safetensors").read_bytes() != (folder / "model.safetensors").read_bytes()
    fig("sample", out, "--count", 2, "--out", tmp_path / "after.png")


def test_patch_resumes_after_an_interrupt_with_the_same_weights(folder: Path, stripes: Split, tmp_path: Path):
    given = ["patch", folder, Path(stripes.images.filename), "--iterations", 3, "--batch-size", 16, "--out"]
    fig(*given, tmp_path / "whole")
    printed = interrupt(tmp_path / "barrier", AFTER_CHECKPOINT, *given, tmp_path / "resumed")
    assert "the same command resumes" in printed
    assert list((tmp_path / "resumed").glob("checkpoints/*/state.safetensors"))
    fig(*given, tmp_path / "resumed")
    whole, resumed = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "resumed"))
    assert resumed == whole


def test_patch_wants_the_classes_that_the_discriminator_knows(folder: Path, tmp_path: Path):
    for name in "abc":
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (16, 16), (80 * number, 0, 0)).save(tmp_path / "images" / name / f"{number}.png")
    done = fig("patch", folder, tmp_path / "images", "--out", tmp_path / "out", check=False)
    assert done.returncode == 1 and "has 3 classes, but the discriminator has 2" in done.stderr


def test_a_checkpoint_is_adopted_patched_and_judges_images(stripes: Split, tmp_path: Path):
    network = build("resnet18", 2, 16, 1 / 16)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    stated = json.dumps({"name": "resnet18", "classes": 2, "image_size": 16, "width": 1 / 16})
    options = ["--arguments", stated, "--classes", 2, "--size", 16, "--mean", 0.4, 0.5, 0.6, "--std", 0.2, 0.2, 0.3]
    mine, images = tmp_path / "mine", Path(stripes.images.filename)
    fig("adopt", tmp_path / "weights.pt", "--factory", "fig.networks.building:build", *options, "--out", mine)
    assert load_card(mine).architecture.std == (0.2, 0.2, 0.3)
    fig("patch", mine, images, "--trust-factory", "--iterations", 3, "--batch-size", 16, "--out", tmp_path / "patched")
    (tmp_path / "noise").mkdir()
    draw = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(draw.integers(0, 256, (20, 20, 3), np.uint8)).save(tmp_path / "noise" / f"{number}.png")
    out = tmp_path / "verdicts.csv"
    printed = fig("detect", tmp_path / "patched", images, tmp_path / "noise", "--trust-factory", "--out", out).stdout
    kept = json.loads((tmp_path / "patched" / "detector.json").read_text())
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == 5 and "of 5 images are taken for in-distribution" in printed and kept["detector"] == "energy"
    assert all((float(row["score"]) >= kept["threshold"]) == (row["accepted"] == "True") for row in rows)


@pytest.mark.slow
def test_a_classifier_that_hugging_face_saved_is_adopted_with_its_weights(stripes: Split, tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.ViTConfig(image_size=16, patch_size=8, num_labels=2, **sizes)
    model = transformers.ViTForImageClassification(config).eval()
    model.save_pretrained(tmp_path / "vit")
    arguments = json.dumps({"pretrained_model_name_or_path": str(tmp_path / "vit")})
    factory = ["--factory", "transformers:AutoModelForImageClassification.from_pretrained", "--arguments", arguments]
    mine = tmp_path / "mine"
    fig("adopt", *factory, "--classes", 2, "--size", 16, "--out", mine)
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.allclose(
            load(mine, trust_factory=True).eval()(images), model(images / 127.5 - 1).logits, atol=1e-6
        )
    (tmp_path / "sea").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "sea" / "0.png")
    printed = fig(
        "detect",
        *(mine, Path(stripes.images.filename), tmp_path / "sea", "--trust-factory", "--out", tmp_path / "out.csv"),
    ).stdout
    assert "of 1 images are taken for in-distribution" in printed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--class", 7], "error: --class is 7: the discriminator's classes are 0 to 1"),
        (["--settings", '{"step_size": 0}'], "error: --settings.step_size is 0: it must be above 0"),
        (
            ["--settings", '{"size": 1}'],
            "error: --settings.size: unknown key (did you mean 'step_size'?). Available: step_size",
        ),
    ],
)
def test_an_error_is_one_sentence(folder: Path, tmp_path: Path, arguments: list, sentence: str):
    done = fig("sample", folder, "--out", tmp_path / "grid.png", *arguments, check=False)
    assert done.returncode == 1 and done.stderr.startswith(sentence) and done.stderr.count("\n") == 1


def test_a_folder_without_a_discriminator_is_named(tmp_path: Path):
    done = fig("sample", tmp_path, "--out", tmp_path / "grid.png", check=False)
    assert done.stderr.startswith(f"error: {tmp_path} holds no discriminator.json")


def test_the_commands_start_without_torch_and_pydantic():
    code = "import sys, fig.__main__ as fig; fig.build_app(); sys.exit(bool({'torch', 'pydantic'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
