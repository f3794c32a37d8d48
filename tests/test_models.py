"""Discriminators as MLflow models: registered once, served with the pipeline's own scores, and thresholds that hold."""

import base64
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from fig.data.arrays import Split
from fig.discriminator import Card, Discriminator, load, save
from fig.runtime.tracking import register
from fig.serving import Gate
from fig.settings import SamplerSettings
from fig.stages.evaluate import Evaluate
from fig.stages.support.scoring import evaluate_on_this_worker
from fig.stages.support.trainer import write_history
from support.processes import free_port, run_server

BIN = Path(sys.executable).parent
MODEL = "models:/fig-stripes-resnet18-fig"


@pytest.fixture
def folder(small: Discriminator, tmp_path: Path) -> Path:
    """The folder of a discriminator that was not evaluated yet."""
    folder = tmp_path / "results/tiny/discriminators/stripes/resnet18/fig/0"
    folder.mkdir(parents=True)
    save(folder, small, Card(small.architecture, "stripes", "fig", 0, "0123456789abcdef"))
    write_history(folder / "history.csv", [{"iteration": 0, "time": 0.0}])
    return folder


@contextmanager
def served(model: str, where: Path) -> Iterator[str]:
    """A real `mlflow models serve` of a model in the database of `where`: the address that takes requests."""
    port = free_port()
    command = [BIN / "mlflow", "models", "serve", "-m", model, "--env-manager", "local", "--port", str(port)]
    own = {"PATH": f"{BIN}:{os.environ['PATH']}", "MLFLOW_TRACKING_URI": "sqlite:///results/mlflow.db"}
    with run_server(command, f"http://127.0.0.1:{port}/ping", where, **own):
        yield f"http://127.0.0.1:{port}/invocations"


def answer(address: str, images: NDArray, **params: float) -> dict[str, NDArray]:
    """What a served model says of arrays."""
    return ask(address, {"inputs": images.tolist(), "params": params})


def encoded(image: NDArray, kind: str = "PNG") -> str:
    """An image file in base64."""
    file = BytesIO()
    Image.fromarray(image).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def ask(address: str, request: dict) -> dict[str, NDArray]:
    """What a served model answers."""
    body = json.dumps(request).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return {name: np.array(values) for name, values in json.load(response)["predictions"].items()}


@pytest.mark.pipeline
def test_a_registered_discriminator_serves_its_own_probabilities_its_evaluation_s_scores_and_their_threshold(
    folder: Path, stripes: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    few = SamplerSettings(min_steps=2, max_steps=2)
    path = Path(stripes.images.filename)
    job = Evaluate(discriminator=folder, train=path, test=path, ood=(path,), detectors={"baseline": {}}, sampler=few)
    evaluate_on_this_worker(job)
    assert register(folder) == register(folder) == f"{MODEL}/1"  # what is registered is found again
    images = np.ascontiguousarray(stripes.images)
    with np.load(folder / "scores/baseline.npz") as scores:
        id_scores = scores["id"]
    with served(f"{MODEL}/1", tmp_path) as address:
        told, at_half = answer(address, images), answer(address, images, id_acceptance=0.5)
        with pytest.raises(urllib.error.HTTPError) as refused:
            answer(address, images[:2, :8, :8])
        files = [encoded(image) for image in images]
        by_files = ask(address, {"dataframe_split": {"columns": ["image"], "data": [[file] for file in files]}})
        with pytest.raises(urllib.error.HTTPError) as unreadable:
            ask(address, {"dataframe_records": [{"image": files[0]}, {"image": files[0][:40]}]})
    assert refused.value.code == unreadable.value.code == 400
    assert "images are (2, 8, 8, 3), not (N, 16, 16, 3)" in json.load(refused.value)["message"]
    assert "image 1 is no PNG or JPEG file that can be read" in json.load(unreadable.value)["message"]
    assert all(np.array_equal(by_files[name], told[name]) for name in told)
    assert np.array_equal(told["class"], told["probabilities"].argmax(axis=1))
    with torch.no_grad():
        own = load(folder).eval()(torch.tensor(images).permute(0, 3, 1, 2)).double().softmax(dim=1)
    assert np.allclose(told["probabilities"], own, atol=1e-6)
    assert np.allclose(told["score"], id_scores, atol=1e-4)
    accepted = np.array([told["accepted"].sum(), at_half["accepted"].sum()])
    assert np.abs(accepted - [38, 20]).max() <= 1  # of 40; one stands on the threshold, where rounding decides


def test_what_was_not_evaluated_is_not_registered(folder: Path):
    with pytest.raises(ValueError, match="evaluate it"):
        register(folder)


def test_images_are_accepted_from_the_score_on_that_the_asked_share_of_id_images_reaches(small: Discriminator):
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    scores = Gate(small.eval(), np.zeros(1)).predict(images)["score"]
    gate = Gate(small.eval(), scores)
    accepted = gate.predict(images, {"id_acceptance": 0.5})["accepted"]
    assert set(scores[accepted]) == set(np.sort(scores)[4:])
    assert gate.predict(images, {"id_acceptance": 1.0})["accepted"].all()


def test_pixels_in_0_to_1_and_what_is_no_share_are_refused_in_a_sentence(small: Discriminator):
    gate, images = Gate(small.eval(), np.zeros(1)), np.zeros((2, 16, 16, 3), np.uint8)
    with pytest.raises(ValueError, match="from 0 to 255"):
        gate.predict(images)
    with pytest.raises(ValueError, match=r"1\.5 of the ID images cannot be accepted"):
        gate.predict(images + 128, {"id_acceptance": 1.5})


def test_image_files_of_any_size_and_mode_are_resized_by_the_short_side_and_cut_in_the_middle(small: Discriminator):
    gate = Gate(small.eval(), np.zeros(1))
    image = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    wide = np.pad(image, ((0, 0), (8, 8)))  # grey, with what is cut away on either side
    told = gate.predict_files([encoded(wide), encoded(image)])
    assert np.array_equal(told["score"], gate.predict(np.stack(2 * [np.stack(3 * [image], axis=-1)]))["score"])
    twice = image.repeat(2, axis=0).repeat(2, axis=1)
    assert gate.predict_files([encoded(twice), encoded(wide, "JPEG")])["class"].shape == (2,)
    assert gate.predict_files([encoded(np.zeros((16, 16), np.uint8))])["class"].shape == (1,), "a file may be black"


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("%%%", "is no base64"),
        (7, "is no string"),
        (None, "is no string"),
        (encoded(np.zeros((8, 8)), "TIFF"), "no PNG"),
    ],
)
def test_what_is_no_image_file_is_refused_in_a_sentence(small: Discriminator, file: object, reason: str):
    with pytest.raises(ValueError, match=f"image 0 .*{reason}"):
        Gate(small.eval(), np.zeros(1)).predict_files([file])
