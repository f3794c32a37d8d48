"""Discriminators as MLflow models: registered once, served with the pipeline's scores and thresholds that hold."""

import base64
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from fig.data.arrays import Split
from fig.discriminator import Discriminator, load
from fig.runtime.tracking import mirror, register
from fig.serving import Gate, read_images
from fig.settings import SamplerSettings
from fig.stages.evaluate import Evaluate
from fig.stages.support.scoring import evaluate_on_this_worker
from support.serving import ask, png, refused, served, write_discriminator

MODEL = "models:/fig-stripes-resnet18-fig"


@pytest.fixture
def folder(small: Discriminator, tmp_path: Path) -> Path:
    """The folder of a discriminator that was not evaluated yet."""
    return write_discriminator(small, tmp_path)


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
        answer = ask(address, inputs=images.tolist())
        at_half = ask(address, inputs=images.tolist(), params={"id_acceptance": 0.5})
        records = ask(address, dataframe_records=[{"image": png(image)} for image in images])
        split = ask(address, dataframe_split={"columns": ["image"], "data": [[image.tolist()] for image in images]})
        refusals = {
            "size": refused(address, inputs=images[:2, :8, :8].tolist()),
            "dtype": refused(address, inputs=(images[:2] / 255).tolist()),
            "empty": refused(address, inputs=[]),
            "column": refused(address, dataframe_records=[{"picture": png(images[0])}]),
            "base64": refused(address, dataframe_records=[{"image": "?"}]),
            "image": refused(address, dataframe_records=[{"image": base64.b64encode(b"text").decode()}]),
            "share": refused(address, inputs=images[:2].tolist(), params={"id_acceptance": 1.5}),
        }
        json_code, _ = refused(address, input=[])
    assert refusals == {
        "size": (400, "the images are of shape (8, 8, 3): each must be (16, 16, 3)"),
        "dtype": (400, "the images are neither base64 nor whole numbers from 0 to 255, but float64"),
        "empty": (400, "there are no images"),
        "column": (400, "there is no column image, but picture"),
        "base64": (400, "image 0 is not base64"),
        "image": (400, "image 0 is not a readable JPEG or PNG image"),
        "share": (400, "a share of 1.5 of the ID images cannot be accepted: it must be above 0 and at most 1"),
    }
    assert json_code == 400
    with torch.no_grad():
        own = load(folder).eval()(torch.tensor(images).permute(0, 3, 1, 2)).double().softmax(dim=1)
    assert set(answer) == {"class", "confidence", "probabilities", "score", "accepted"}
    assert np.allclose(answer["probabilities"], own, atol=1e-6)
    assert np.allclose(answer["confidence"], own.amax(dim=1), atol=1e-6)
    assert answer["class"].tolist() == [["horizontal", "vertical"][place] for place in own.argmax(dim=1)]
    assert np.allclose(answer["score"], id_scores, atol=1e-4)
    for same in (records, split):
        assert all((answer[name] == same[name]).all() for name in answer)
    accepted = np.array([answer["accepted"].sum(), at_half["accepted"].sum()])
    assert np.abs(accepted - [38, 20]).max() <= 1  # of 40; one stands on the threshold, where rounding decides


@pytest.mark.pipeline
def test_a_model_registered_twice_is_found_and_evaluated_again_it_is_another_version(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    row = "0123456789abcdef,accuracy,,,,0.5"
    (folder / "metrics.csv").write_text(f"key,metric,detector,protocol,ood_dataset,value\n{row}\n")
    (folder / "scores").mkdir()
    np.savez(folder / "scores/baseline.npz", id=np.arange(20.0))
    mirror(folder)
    assert register(folder) == register(folder) == f"{MODEL}/1"
    np.savez(folder / "scores/baseline.npz", id=np.arange(30.0))
    assert register(folder) == register(folder) == f"{MODEL}/2"
    client = MlflowClient(f"sqlite:///{tmp_path}/results/mlflow.db")
    models = client.search_logged_models([client.get_experiment_by_name("tiny").experiment_id])
    versions = client.search_model_versions("name = 'fig-stripes-resnet18-fig'")
    assert {each.source for each in versions} == {each.artifact_location for each in models} and len(models) == 2
    assert all([metric.value for metric in model.metrics] == [0.5] for model in models)


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


def test_images_are_pixels_bytes_base64_or_data_urls_and_of_another_size_are_resized_by_the_short_side_and_cut():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    text = png(image)
    given = [text, "\n".join(textwrap.wrap(text, 76)), f"data:image/png;base64,{text}", base64.b64decode(text)]
    assert (read_images(given, 16) == image).all()
    assert (read_images(np.array([text, text]), 16) == image).all()
    assert (read_images([image.tolist()], 16) == read_images(image[None].astype(np.int64), 16)).all()
    wide = np.pad(image, ((0, 0), (8, 8), (0, 0)))  # with what is cut away on either side
    assert (read_images([png(wide)], 16) == image).all()
    assert read_images([png(np.zeros((16, 16), np.uint8))], 16).max() == 0, "a file may be black"
    assert read_images([png(image, "JPEG"), png(image[..., 0])], 8).shape == (2, 8, 8, 3)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.zeros((2, 16, 16, 3), np.float32), "neither base64 nor whole numbers from 0 to 255, but float32"),
        (np.ones((2, 16, 16, 3), np.uint8), "no pixel is above 1"),
        (np.full((2, 16, 16, 3), 256), "pixels are from 256 to 256: they must be from 0 to 255"),
        ([[[1]], [[1, 2]]], r"not all of one shape: each must be \(16, 16, 3\)"),
        ([None], "neither base64 nor whole numbers"),
        (np.array(5), r"of shape \(\): each must be"),
        ([], "there are no images"),
        ([png(np.zeros((4, 4, 3), np.uint8)), None], "image 1 is not base64, but others are"),
        ([png(np.zeros((4, 4, 3), np.uint8), "BMP")], "image 0 is not a readable JPEG or PNG image"),
        ([png(np.zeros((400, 400, 3), np.uint8))[:80]], "image 0 is not a readable JPEG or PNG image"),
        (["data:image/png;base64"], "image 0 is not a readable"),
        (["é"], "image 0 is not base64"),
        (
            [png(np.zeros((8193, 4096), np.uint8))],
            "image 0 has 4,096 x 8,193 pixels: make it smaller, at most 33,554,432",
        ),
        ([png(np.zeros((1, 2**18), np.uint8))], "image 0 has 262,144 x 1 pixels: make it smaller"),
        (np.zeros((0, 16, 16, 3), np.uint8), "there are no images"),
        (np.full((2, 16, 16, 3), np.nan), "neither base64 nor whole numbers from 0 to 255, but float64"),
        (np.full((2, 16, 16, 3), 2**62), "pixels are from 4611686018427387904 to"),
        ([[[[10**400] * 3] * 16] * 16], "neither base64 nor whole numbers"),
    ],
)
def test_what_are_no_images_is_refused_in_a_sentence(given: object, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        read_images(given, 16)


def test_what_is_no_share_is_refused_in_a_sentence(small: Discriminator):
    gate, images = Gate(small.eval(), np.zeros(1)), np.full((2, 16, 16, 3), 128, np.uint8)
    with pytest.raises(ValueError, match=r"1\.5 of the ID images cannot be accepted"):
        gate.predict(images, {"id_acceptance": 1.5})
    with pytest.raises(ValueError, match="id_acceptance is None: it must be a number above 0 and at most 1"):
        gate.predict(images, {"id_acceptance": None})
    assert gate.predict(images)["class"].dtype == np.int64, "without names classes are numbers"
