"""Exported programs: what PyTorch answers is what ONNX Runtime and a loaded program answer, verdict included."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from fig import export
from fig.detectors.baseline import log_odds
from fig.discriminator import Architecture, Card, Discriminator, save
from fig.export import OUTPUTS, Decision, Program, export_folder, export_network, read_decision
from fig.networks.building import made_by
from fig.networks.table import NETWORKS
from fig.scaling import SYMMETRIC, Scaling

SMALL_TIMM = {  # by model: what makes it small enough for images of 32 x 32
    "resnet18": {},
    "convnext_atto": {"depths": [1, 1, 1, 1]},
    "vit_tiny_patch16_224": {"img_size": 32, "patch_size": 8, "depth": 2},
}


def images(count: int, size: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def ask_onnx(path: Path, batch: Tensor) -> Mapping[str, Tensor]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return dict(zip(OUTPUTS, map(torch.from_numpy, session.run(OUTPUTS, {"images": batch.numpy()})), strict=True))


def assert_equal(found: Mapping[str, Tensor], logits: Tensor, decision: Decision) -> None:
    score = log_odds(logits) if decision.detector == "baseline" else logits.logsumexp(dim=1)
    for name, expected in {"logits": logits, "confidence": logits.softmax(dim=1).amax(dim=1), "score": score}.items():
        assert (found[name] - expected).abs().max() < 1e-4, name
    assert found["accepted"].equal(score >= decision.threshold)


@pytest.fixture
def folder(small: Discriminator, tmp_path: Path) -> Path:
    """A discriminator's folder, with the scores of its ID test images."""
    folder = tmp_path / "stripes" / "0"
    save(folder, small, Card(small.architecture, "stripes", "fig", 0, "0123456789abcdef"))
    (folder / "scores").mkdir()
    np.savez(folder / "scores/baseline.npz", id=np.arange(20.0))
    return folder


@pytest.mark.slow
def test_a_folder_s_program_scales_scores_and_decides_as_the_discriminator_does_at_any_batch_size(
    folder: Path, small: Discriminator, tmp_path: Path
):
    with torch.no_grad():
        middle = log_odds(small.eval()(images(9, 16))).double().median().item()
    np.savez(folder / "scores/baseline.npz", id=np.array([middle + 0.01]))
    done = export_folder(folder, tmp_path / "out")
    decision = Decision("baseline", middle + 0.01)
    program = torch.export.load(done.program).module()
    for count in (1, 9):
        with torch.no_grad():
            logits = small(images(count, 16))
        for found in (ask_onnx(done.onnx, images(count, 16)), program(images(count, 16))):
            assert_equal(found, logits, decision)
    assert found["accepted"].sum() in range(1, 9)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model.onnx", "model.pt2"}


@pytest.mark.slow
def test_both_files_say_what_they_decide_by_and_name_their_inputs_and_outputs(folder: Path, tmp_path: Path):
    kept = '{"detector": "energy", "settings": {"temperature": 2}, "threshold": 2.5, "id_acceptance": 0.9}'
    (folder / "detector.json").write_text(kept)
    done = export_folder(folder, tmp_path / "out")
    model, files = onnx.load(done.onnx), {"fig": ""}
    torch.export.load(done.program, extra_files=files)
    (noted,) = [entry.value for entry in model.metadata_props if entry.key == "fig"]
    assert json.loads(noted) == json.loads(files["fig"])
    assert json.loads(noted) == {
        "id_dataset": "stripes",
        "variant": "fig",
        "seed": 0,
        "key": "0123456789abcdef",
        "detector": "energy",
        "threshold": 2.5,
        "id_acceptance": 0.9,
        "settings": {"temperature": 2.0},
    }
    logits, score = (ask_onnx(done.onnx, images(3, 16))[name] for name in ("logits", "score"))
    assert torch.allclose(score, 2 * (logits / 2).logsumexp(dim=1), atol=1e-4)
    assert [each.name for each in model.graph.input] == ["images"]
    assert [each.name for each in model.graph.output] == list(OUTPUTS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [*(pytest.param(name, marks=pytest.mark.long) for name in NETWORKS), *(f"timm:{name}" for name in SMALL_TIMM)],
)
def test_every_kind_of_network_is_exported_within_the_tolerance(network: str, tmp_path: Path):
    architecture = Architecture(network, classes=4, size=32, width=1 / 16)
    if network.startswith("timm:"):
        name = network.removeprefix("timm:")
        made = made_by("timm:create_model", {"model_name": name, "num_classes": 4, **SMALL_TIMM[name]})
    else:
        made = Discriminator(architecture, seed=1).network
    made.train()  # and is left so
    decision, mean, std = Decision("energy", 1.4), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    done = export_network(made, tmp_path, (3, 32, 32), decision, Scaling(mean, std))
    assert done.difference < 1e-4 and made.training
    scaled = (images(3, 32) / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        assert_equal(ask_onnx(done.onnx, images(3, 32)), made.eval()(scaled), decision)


def test_thresholds_come_from_the_folder(folder: Path):
    assert read_decision(folder) == Decision("baseline", 1.0, 0.95)
    assert read_decision(folder, 0.5) == Decision("baseline", 10.0, 0.5)
    (folder / "detector.json").write_text('{"detector": "energy", "settings": {}, "threshold": 2.5}')
    assert read_decision(folder) == Decision("energy", 2.5, 0.95)
    assert read_decision(folder, 0.5) == Decision("baseline", 10.0, 0.5), "a stated share needs scores"


def test_a_folder_without_a_threshold_and_a_score_that_logits_do_not_give_are_refused_in_a_sentence(folder: Path):
    (folder / "scores/baseline.npz").unlink()
    with pytest.raises(ValueError, match=r"neither scores/baseline\.npz nor detector\.json: `fig detect`"):
        read_decision(folder)
    (folder / "detector.json").write_text('{"detector": "vim", "threshold": 2.5}')
    with pytest.raises(ValueError, match=r"detector is vim: exported are the scores of baseline and energy"):
        read_decision(folder)
    (folder / "detector.json").write_text('{"detector": "baseline", "settings": {"eps": 0.1}, "threshold": 2.5}')
    with pytest.raises(ValueError, match="baseline has no eps that could be exported"):
        read_decision(folder)


class Undecided(nn.Module):
    """A network whose way depends on the values of its images, which no graph can have."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :4] if images.sum() > 0 else images.flatten(1)[:, 4:8]


def test_what_cannot_be_exported_or_answers_otherwise_is_refused_and_leaves_no_file(
    small: Discriminator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(ValueError, match="the network cannot be exported: "):
        export_network(Undecided(), tmp_path / "out", (3, 16, 16), Decision("energy", 0.0))
    program = Program(small.network, SYMMETRIC, Decision("energy", 0.0))
    monkeypatch.setattr(export, "write_programs", lambda *call: None)
    monkeypatch.setattr(export, "run_program", lambda path: program)
    monkeypatch.setattr(export, "run_onnx", lambda path: lambda batch: {**program(batch), "score": torch.zeros(1)})
    with pytest.raises(ValueError, match="ONNX Runtime gives another score than PyTorch"):
        export_network(small.network, tmp_path / "out", (3, 16, 16), Decision("energy", 0.0))
    monkeypatch.setattr(export, "run_onnx", lambda path: lambda batch: {**program(batch), "accepted": batch.sum() < 0})
    with pytest.raises(ValueError, match="ONNX Runtime gives other verdicts than PyTorch"):
        export_network(small.network, tmp_path / "out", (3, 16, 16), Decision("energy", 0.0))
    assert not any((tmp_path / "out").iterdir())
