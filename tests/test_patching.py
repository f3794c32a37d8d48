"""The functions that patch, probe, sample and judge any classifier in memory."""

import copy
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import transforms

import fig
from fig import patching
from fig.data.arrays import Split
from fig.feeding import Feed
from fig.scaling import PIXELS, SYMMETRIC, Rescaled, Scaling, find_scaling, rescale, unscale
from fig.seeding import generator
from support.workspace import blocks

IMAGENET = Scaling((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CPU = torch.device("cpu")
PAGE = Path(__file__).parents[1] / "docs" / "patching.md"
FEW = fig.Finetuning(iterations=12, batch_size=16, learning_rate=0.01, log_every=5)
SHORT = fig.FigSettings(K=0.5, sampler=fig.SamplerSettings(max_steps=4, min_steps=1))


def network_of(shape: tuple[int, int, int], classes: int = 2, norm: bool = True) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(shape[0], 8, 3, padding=1), *[nn.BatchNorm2d(8)] * norm, nn.ReLU(), nn.AdaptiveAvgPool2d(4)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, classes))


def pixels_of(split: Split) -> Tensor:
    return torch.from_numpy(np.array(split.images)).permute(0, 3, 1, 2)


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def forms_of(split: Split, scaling: Scaling) -> dict[str, tuple[object, object]]:
    pixels, labels = pixels_of(split), torch.from_numpy(split.labels)
    floats = rescale(pixels.float() / 127.5 - 1, scaling)
    pairs = DataLoader(TensorDataset(floats, labels), batch_size=16)
    return {
        "split": (split, None),
        "bytes": (pixels, labels),
        "array": (np.array(split.images), split.labels),
        "floats": (floats, labels.tolist()),
        "loader": (pairs, None),
        "mappings": ([{"pixel_values": images, "labels": each} for images, each in pairs], None),
    }


@pytest.mark.parametrize("scaling", [SYMMETRIC, PIXELS, IMAGENET])
@pytest.mark.parametrize("form", ["split", "bytes", "array", "floats", "loader", "mappings"])
def test_images_of_every_form_are_the_same_batches(form: str, scaling: Scaling, stripes: Split):
    images, labels = forms_of(stripes, scaling)[form]
    batches = list(Feed(images, labels, scaling, CPU).once(16))
    expected = pixels_of(stripes).float() / 127.5 - 1
    assert torch.cat([each for each, _ in batches]).allclose(expected, atol=1e-5)
    assert torch.cat([each for _, each in batches]).tolist() == stripes.labels.tolist()


@pytest.mark.parametrize("scaling", [PIXELS, IMAGENET])
def test_a_network_of_another_scaling_gives_the_logits_that_it_gave(scaling: Scaling):
    network = network_of((3, 8, 8)).eval()
    pixels = torch.rand(4, 3, 8, 8, generator=generator(0, "pixels"))
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (scaling.mean, scaling.std))
    inputs = (pixels - mean) / std
    assert Rescaled(network, scaling)(2 * pixels - 1).allclose(network(inputs), atol=1e-5)
    assert unscale(inputs, scaling).allclose(2 * pixels - 1, atol=1e-5)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (((0.1, 0.2, 0.3), (1, 2, 3)), Scaling((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))),
        ((0.5, 0.5), SYMMETRIC),
        ({"mean": [0.1], "std": [0.2], "input_size": (3, 8, 8)}, Scaling((0.1,), (0.2,))),
        (SimpleNamespace(image_mean=[0.1], image_std=[0.2]), Scaling((0.1,), (0.2,))),
        (transforms.Normalize(0.1, 0.2), Scaling((0.1,), (0.2,))),
        (transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.1], [0.2])]), Scaling((0.1,), (0.2,))),
        (transforms.Compose([transforms.ToTensor()]), PIXELS),
    ],
)
def test_a_scaling_is_found_where_libraries_keep_it(source: object, found: Scaling):
    assert find_scaling(source) == found


@pytest.mark.slow
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("scaling", [SYMMETRIC, IMAGENET])
def test_patching_lowers_the_confidence_on_own_samples_and_leaves_the_model_as_it_was(
    norm: bool, scaling: Scaling, stripes: Split
):
    network = network_of((3, 16, 16), norm=norm).eval()
    before, options = copy.deepcopy(network), {"scaling": scaling, "progress": False}
    taught = fig.patch(
        network,
        stripes,
        None,
        fig.FigSettings(K=0),
        fig.Finetuning(iterations=40, batch_size=20, learning_rate=0.02),
        **options,
    )
    patched = fig.patch(
        taught.model,
        stripes,
        None,
        fig.FigSettings(K=0.5),
        fig.Finetuning(iterations=60, batch_size=20, learning_rate=0.05),
        **options,
    )
    assert same(network, before) and not same(patched.model, before)
    assert type(patched.model) is type(network) and not any(each.training for each in patched.model.modules())
    found = [fig.probe(each.model, (3, 16, 16), 32, steps=20, **options).confidence for each in (taught, patched)]
    assert found[1] < found[0] - 0.05
    assert patched.history[-1]["iteration"] == 60 and patched.history[-1]["accuracy"] > 0.9


def test_images_may_be_grey_and_oblong(generator: torch.Generator):
    images, labels = torch.rand(20, 1, 12, 20, generator=generator), [0, 1] * 10
    network = network_of((1, 12, 20))
    patched = fig.patch(network, images, labels, SHORT, FEW, scaling=(0.0, 1.0), progress=False).model
    assert fig.sample(patched, (1, 12, 20), 3, scaling=(0.0, 1.0), progress=False).images.shape == (3, 1, 12, 20)
    judge = fig.detect(patched, images, labels, "mahalanobis", scaling=(0.0, 1.0), progress=False)
    assert judge.score(images).shape == (20,)


def test_patching_in_place_changes_the_model_itself(stripes: Split):
    network, before = network_of((3, 16, 16)), network_of((3, 16, 16))
    patched = fig.patch(network, stripes, None, SHORT, FEW, inplace=True, progress=False)
    assert patched.model is network and not same(network, before)


def stop_at(monkeypatch: pytest.MonkeyPatch, iteration: int) -> None:
    """Let patching be interrupted before this iteration."""
    whole, count = patching.batch_of, iter(range(1000))

    def interrupted(images: Tensor, labels: Tensor) -> object:
        if next(count) == iteration:
            raise KeyboardInterrupt
        return whole(images, labels)

    monkeypatch.setattr(patching, "batch_of", interrupted)


def test_patching_resumes_after_an_interrupt_with_the_same_weights(
    stripes: Split, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    network = network_of((3, 16, 16))
    whole = fig.patch(network, stripes, None, SHORT, FEW, progress=False)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        stop_at(patched, 7)
        fig.patch(network, stripes, None, SHORT, FEW, checkpoints=tmp_path, progress=False)
    resumed = fig.patch(network, stripes, None, SHORT, FEW, checkpoints=tmp_path, progress=False)
    assert same(resumed.model, whole.model)
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]


def test_a_checkpoint_of_another_patching_is_refused(stripes: Split, tmp_path):
    network = network_of((3, 16, 16))
    fig.patch(network, stripes, None, SHORT, FEW, checkpoints=tmp_path, progress=False)
    with pytest.raises(ValueError, match="delete it to start afresh"):
        fig.patch(network, stripes, None, fig.FigSettings(K=0.2), FEW, checkpoints=tmp_path, progress=False)


class Interrupting(nn.Module):
    """A network whose passes are interrupted once."""

    def __init__(self, inner: nn.Module, passes: int) -> None:
        super().__init__()
        self.inner, self.left = inner, passes

    def forward(self, images: Tensor) -> Tensor:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return self.inner(images)


def test_sampling_resumes_after_an_interrupt_with_the_same_samples(tmp_path):
    inner, file = network_of((3, 8, 8)).eval(), tmp_path / "unfinished"
    options = {"settings": fig.SamplerSettings(min_steps=9, max_steps=9), "batch": 2, "progress": False}
    whole = fig.sample(inner, (3, 8, 8), 4, **options)
    network = Interrupting(inner, 20)
    with pytest.raises(KeyboardInterrupt):
        fig.sample(network, (3, 8, 8), 4, unfinished=file, **options)
    assert file.exists()
    resumed = fig.sample(network, (3, 8, 8), 4, unfinished=file, **options)
    assert torch.equal(resumed.images, whole.images) and not file.exists()


@pytest.mark.parametrize("scaling", [SYMMETRIC, IMAGENET])
def test_energy_is_the_log_of_the_sum_of_exponentials_and_its_threshold_accepts_95_percent(
    scaling: Scaling, stripes: Split
):
    network = network_of((3, 16, 16)).train()
    judge = fig.detect(network, stripes, scaling=scaling, progress=False)
    assert network.training and judge.detector == "energy"
    with torch.no_grad():
        logits = network.eval()(rescale(pixels_of(stripes).float() / 127.5 - 1, scaling))
    assert judge.score(stripes) == pytest.approx(logsumexp(logits.double().numpy(), axis=1), abs=1e-4)
    assert judge.accepts(stripes).mean() == 0.95
    assert np.sort(judge.id_scores)[2] == judge.threshold


@pytest.mark.parametrize("name", ["baseline", "energy", "odin", "mahalanobis", "gram", "residual_flow"])
def test_a_detector_of_loaders_and_of_images_in_memory_is_the_same(name: str, stripes: Split):
    network = network_of((3, 16, 16)).eval()
    settings = {"residual_flow": {"epochs": 2}, "gram": {"orders": [1, 2]}}.get(name, {})
    forms = forms_of(stripes, SYMMETRIC)
    found = [
        fig.detect(network, *forms[form], name, settings, progress=False).score(stripes) for form in ("split", "loader")
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-4) and np.isfinite(found[0]).all()


def test_a_fitted_detector_takes_its_threshold_from_images_that_it_has_not_seen(stripes: Split):
    network = network_of((3, 16, 16)).eval()
    judge = fig.detect(network, stripes, detector="mahalanobis", progress=False)
    assert judge.id_scores == pytest.approx(judge.score(stripes)[::10], rel=1e-5)
    calibrated = fig.detect(
        network, stripes, detector="mahalanobis", calibration=pixels_of(stripes)[:7], progress=False
    )
    assert len(calibrated.id_scores) == 7


class Foreign(nn.Module):
    """A classifier that gives its logits as other libraries do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network_of((3, 16, 16))

    def forward(self, images: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.inner(images), loss=None)


def test_a_model_that_gives_more_than_logits_comes_back_as_it_was_given(stripes: Split):
    patched = fig.patch(Foreign(), stripes, None, SHORT, FEW, progress=False).model
    assert type(patched) is Foreign and patched(torch.zeros(1, 3, 16, 16)).logits.shape == (1, 2)


def endless_loader() -> Iterator[tuple[Tensor, Tensor]]:
    yield torch.rand(4, 3, 16, 16) * 2 - 1, torch.zeros(4).long()


@pytest.mark.parametrize(
    ("images", "labels", "options", "sentence"),
    [
        (torch.randn(8, 3, 16, 16) * 3, [0, 1] * 4, {}, r"which is not what their scaling gives: state it"),
        (torch.rand(8, 3, 16, 16), [0, 1] * 4, {}, r"if they are in \[0, 1\], say so by scaling=\(0.0, 1.0\)"),
        (torch.zeros(8, 3, 16, 16).byte(), None, {}, "there are no labels"),
        (torch.zeros(8, 3, 16, 16).byte(), [0] * 7, {}, r"there are 8 images, but labels of shape \(7,\)"),
        (torch.zeros(8, 3, 16, 16).byte(), [0, 5] * 4, {}, "an image is of class 5, but the model gives 2 logits"),
        (torch.zeros(8, 3, 16, 16).long(), [0, 1] * 4, {}, "images are of torch.int64"),
        (torch.zeros(8, 16, 16).byte(), [0, 1] * 4, {}, "a batch has four dimensions"),
        ([("a", 1)], None, {}, "the loader gives tuple, not images"),
        (endless_loader(), None, {}, "a loader must give a new epoch each time"),
        (torch.zeros(8, 3, 16, 16).byte(), [0, 1] * 4, {"scaling": 3}, "no scaling can be found in it"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_a_sentence(images, labels, options, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        fig.patch(network_of((3, 16, 16)), images, labels, SHORT, FEW, progress=False, **options)


def test_a_detector_that_cannot_judge_a_network_says_so(stripes: Split):
    network = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    with pytest.raises(ValueError, match="detector gram cannot judge Sequential"):
        fig.detect(network, stripes, detector="gram", progress=False)
    assert len(fig.detect(network, stripes, progress=False).id_scores) == 40


def test_a_detector_of_logits_is_exported_with_its_threshold_and_another_says_why_not(
    generator: torch.Generator, tmp_path: Path
):
    runtime = pytest.importorskip("onnxruntime")
    images = torch.randint(0, 256, (40, 1, 12, 20), generator=generator, dtype=torch.uint8)
    labels, options = torch.arange(40) % 2, {"scaling": (0.3, 0.4), "progress": False}
    judge = fig.detect(network_of((1, 12, 20)), images, settings={"temperature": 2.0}, **options)
    session = runtime.InferenceSession(judge.export(tmp_path).onnx)
    score, accepted = session.run(["score", "accepted"], {"images": images.numpy()})
    assert score == pytest.approx(judge.score(images), abs=1e-4)
    assert abs(accepted.sum() - 38) <= 1  # one stands on the threshold, where rounding decides
    fitted = fig.detect(network_of((1, 12, 20)), images, labels, "mahalanobis", {"magnitudes": [0]}, **options)
    with pytest.raises(ValueError, match="the detector is mahalanobis: exported are the scores of baseline and energy"):
        fitted.export(tmp_path)


def test_the_package_names_what_most_people_need_without_importing_it():
    code = "import sys, fig, fig.study; assert 'torch' not in sys.modules; assert set(fig.__all__) <= set(dir(fig))"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(getattr(fig, name).__doc__ for name in fig.__all__)
    with pytest.raises(AttributeError, match="no attribute 'patsh'"):
        fig.patsh  # noqa: B018 - it is looked up


def test_a_network_is_patched_with_the_settings_that_the_page_suggests_for_smooth_images(stripes: Split):
    scope: dict[str, object] = {"fig": fig}
    exec(blocks(PAGE, "python")[-1], scope)
    history = fig.patch(network_of((3, 16, 16)), stripes, None, scope["settings"], FEW, progress=False).history
    assert history and all(row["steps"] == 3 for row in history)


@pytest.mark.slow
def test_the_page_on_patching_does_what_it_says(tmp_path: Path):
    pytest.importorskip("timm")
    example, patch, _ = blocks(PAGE, "python")
    (script,) = [each for each in blocks(PAGE, "sh") if "fig adopt" in each]
    quick = {
        "range(8)": "range(2)",
        "iterations=200": "iterations=3",
        "(3, 28, 28), scaling": "(3, 28, 28), 8, scaling",
    }
    for old, new in quick.items():
        assert old in example + patch
        example, patch = example.replace(old, new), patch.replace(old, new)
    for code in (example, patch):
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    (tmp_path / "fig").write_text(f'#!/bin/sh\nexec {sys.executable} -m fig "$@"\n')
    (tmp_path / "fig").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    printed = subprocess.run(
        ["sh", "-ec", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "images are taken for in-distribution" in printed and (tmp_path / "verdicts.csv").exists()
