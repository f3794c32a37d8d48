"""Discriminators go to the Hugging Face hub in their own two files, with what is known of them, and come back equal."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard, hub_mixin

from fig.discriminator import Card, Discriminator, load, load_card, save

IMAGES = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
METRICS = {
    ("", "", "accuracy"): 0.9,
    ("", "", "sample_confidence"): 0.3,
    ("baseline", "photos-c", "auroc"): 0.8125,
    ("baseline", "photos-c", "auroc_low"): 0.75,
    ("baseline", "photos-c", "auroc_high"): 0.875,
    ("baseline", "photos-c", "fpr95_id_positive"): 0.25,
}


@pytest.fixture
def folder(small: Discriminator, tmp_path: Path) -> Path:
    """A discriminator that was trained and evaluated."""
    folder = tmp_path / "stripes" / "fig" / "0"
    about, kept = {"made_of": {"stage": "finetune"}, "versions": {"torch": "2.9.0"}}, {"method": {"K": 0.1}}
    names = ("horizontal", "vertical")
    save(folder, small, Card(small.architecture, "stripes", "fig", 0, "0123456789abcdef", about, kept, names))
    rows = [
        f"0123456789abcdef,{detector},,{ood},{metric},{value}" for (detector, ood, metric), value in METRICS.items()
    ]
    rows += ["0123456789abcdef,odin,oracle,photos-c,auroc,1", "another,baseline,,photos-c,auroc,1"]
    (folder / "metrics.csv").write_text("\n".join(["key,detector,protocol,ood_dataset,metric,value", *rows]) + "\n")
    (folder / "scores").mkdir()
    np.savez(folder / "scores/baseline.npz", id=np.arange(100.0))
    return folder


def answers(discriminator: Discriminator) -> torch.Tensor:
    with torch.no_grad():
        return discriminator(IMAGES)


def test_what_is_saved_is_what_was_loaded_with_its_evaluation_and_no_second_format(folder: Path, tmp_path: Path):
    load(folder).save_pretrained(tmp_path / "saved")
    files = {str(path.relative_to(tmp_path / "saved")) for path in (tmp_path / "saved").rglob("*") if path.is_file()}
    assert files == {"model.safetensors", "discriminator.json", "README.md", "metrics.csv", "scores/baseline.npz"}
    loaded = Discriminator.from_pretrained(tmp_path / "saved")
    assert not loaded.training and answers(loaded).equal(answers(load(folder).eval()))
    assert load_card(tmp_path / "saved") == load_card(folder)


def test_weights_that_changed_since_have_another_key_and_leave_the_evaluation_behind(folder: Path, tmp_path: Path):
    changed = load(folder)
    with torch.no_grad():
        next(changed.parameters()).add_(1)
    for where in (tmp_path / "saved", folder):  # its own folder too
        changed.save_pretrained(where)
        assert load_card(where).key != "0123456789abcdef" and len(load_card(where).key) == 16
        assert "It was not evaluated." in (where / "README.md").read_text()
    assert not (tmp_path / "saved" / "metrics.csv").exists()
    assert answers(Discriminator.from_pretrained(folder)).equal(answers(changed.eval()))


def test_a_network_that_was_never_saved_is_saved_too(small: Discriminator, tmp_path: Path):
    small.save_pretrained(tmp_path / "saved")
    assert answers(Discriminator.from_pretrained(str(tmp_path / "saved"))).equal(answers(small.eval()))
    assert "Nothing is known about that." in (tmp_path / "saved" / "README.md").read_text()


def test_the_model_card_says_what_is_known_with_intervals_and_in_metadata_and_nothing_else(
    folder: Path, tmp_path: Path
):
    load(folder).save_pretrained(tmp_path / "saved")
    card = ModelCard.load(tmp_path / "saved" / "README.md")
    assert card.data.license is None and card.data.library_name == "fig-ood" and card.data.datasets == ["stripes"]
    assert card.data.tags == ["fig", "out-of-distribution-detection", "resnet18"]
    assert {(each.dataset_name, each.metric_type, each.metric_value) for each in card.data.eval_results} == {
        ("stripes", "accuracy", 0.9),
        ("photos-c", "auroc", 0.8125),
        ("photos-c", "fpr95_id_positive", 0.25),
    }
    assert "| baseline | photos-c | 81.2 [75.0, 87.5] | 25.0 |" in card.text
    assert "accuracy on the test images of stripes: 90.0 [82.6, 94.5] %" in card.text  # Wilson's of 90 of 100
    assert "Classes: horizontal, vertical." in card.text and "- `method.K`: 0.1" in card.text
    assert "oracle" not in card.text and "100.0" not in card.text, "nor what OOD images chose or other weights gave"
    assert str(tmp_path) not in card.text


@pytest.mark.slow
def test_the_model_card_s_own_lines_load_the_discriminator(folder: Path, tmp_path: Path):
    load(folder).save_pretrained(tmp_path / "saved")
    lines = (tmp_path / "saved" / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    done = subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("tensor([["), done.stderr


class Hub:
    """What stands for the hub: a folder for each repository."""

    root: Path
    asked: list[Mapping[str, object]]

    def __init__(self, token: str | None = None) -> None:
        self.token = token

    def create_repo(self, repo_id: str, **options: object) -> "Hub":
        self.asked.append({"token": self.token, **options})
        self.repo_id = repo_id
        return self

    def upload_folder(self, repo_id: str, folder_path: Path, **options: object) -> str:
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)
        return f"https://hub/{repo_id}/commit/1"

    @classmethod
    def snapshot_download(cls, repo_id: str, allow_patterns: list[str], **options: object) -> str:
        cls.asked.append(options)
        assert "model.safetensors" in allow_patterns
        return str(cls.root / repo_id)


def test_a_discriminator_is_pushed_under_its_name_and_pulled_by_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Hub, "root", tmp_path / "hub", raising=False)
    monkeypatch.setattr(Hub, "asked", [], raising=False)
    monkeypatch.setattr(hub_mixin, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", Hub.snapshot_download)
    url = load(folder).push_to_hub("me/stripes-fig", private=True, token="secret")
    assert url == "https://hub/me/stripes-fig/commit/1"
    assert 'Discriminator.from_pretrained("me/stripes-fig")' in (tmp_path / "hub/me/stripes-fig/README.md").read_text()
    pulled = Discriminator.from_pretrained("me/stripes-fig", revision="v1")
    assert answers(pulled).equal(answers(load(folder).eval()))
    assert Hub.asked == [{"token": "secret", "private": True, "exist_ok": True}, {"revision": "v1"}]


@pytest.mark.slow
def test_without_the_extra_folders_are_loaded_and_what_needs_it_names_it(folder: Path):
    code = f"""
import sys
sys.modules["huggingface_hub"] = None  # importing it raises ModuleNotFoundError
from fig.discriminator import Discriminator
Discriminator.from_pretrained({str(folder)!r}).push_to_hub("me/stripes")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("huggingface_hub is not installed: pip install 'fig-ood[hub]' brings it\n")
