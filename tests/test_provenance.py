"""Fingerprints change with the code that makes a result, and with nothing else."""

import subprocess
from pathlib import Path

import pytest

from fig.runtime import provenance
from fig.runtime.provenance import commit_of, fingerprint, modules_behind, provenance_key
from fig.settings import Augmentation
from fig.stages.finetune import Finetune
from fig.stages.pretrain import Pretrain


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package `fig`, whose stage imports a module inside a function, and whose runtime carries it."""
    files = {
        "fig/__init__.py": '"""The package."""\n',
        "fig/stages/__init__.py": "",
        "fig/stages/train.py": "import fig.runtime.cluster\n\ndef work():\n    from fig.part import value\n",
        "fig/part.py": "value = 1\n",
        "fig/other.py": "value = 2\n",
        "fig/runtime/__init__.py": "",
        "fig/runtime/cluster.py": "value = 3\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    return tmp_path


def after(project: Path, name: str, text: str) -> str:
    (project / name).write_text(text)
    provenance.examine.cache_clear()
    return fingerprint("fig.stages.train")


@pytest.mark.parametrize(
    ("name", "text", "changes"),
    [
        ("fig/part.py", 'value = 1\n"""What it is."""\n', False),
        ("fig/part.py", "value = 2\n", True),
        ("fig/part.py", '"""A docstring."""\n# a comment\nvalue   =   1\n', False),
        ("fig/other.py", "value = 5\n", False),
        ("fig/runtime/cluster.py", "value = 5\n", False),
        ("fig/stages/__init__.py", "value = 5\n", True),
    ],
)
def test_a_fingerprint_follows_the_imported_code(project: Path, name: str, text: str, changes: bool):
    before = fingerprint("fig.stages.train")
    assert (after(project, name, text) != before) == changes
    assert len(before) == 16


def test_a_module_that_is_not_there_is_named(project: Path):
    with pytest.raises(ModuleNotFoundError, match=r"fig\.stages\.absent is not a module"):
        fingerprint("fig.stages.absent")


def test_the_real_stages_depend_on_what_they_should():
    places = {"train": Path("t"), "output": Path("o"), "checkpoints": Path("c"), "augmentation": Augmentation(32)}
    pretrain = Pretrain(network="resnet18", **places)
    finetune = Finetune(method="fig", standard=Path("s"), **places)
    pretraining, fine_tuning = (set(modules_behind(*job.code_modules())) for job in (pretrain, finetune))
    assert "fig.training" in pretraining & fine_tuning and "fig.networks.resnet" in pretraining - fine_tuning
    assert "fig.sampler" in fine_tuning - pretraining
    assert "fig.methods.jcl" not in pretraining | fine_tuning  # another method's code is no part of a job
    report = set(modules_behind("fig.stages.report", "fig.stages.support.pages"))
    assert "fig.report.page" in report and not report & {"fig.training", "fig.sampler", "fig.report.targets.k_sweep"}


def test_a_key_depends_on_every_part_and_on_no_order():
    assert provenance_key({"a": 1, "b": {"c": 2}}) == provenance_key({"b": {"c": 2}, "a": 1})
    assert provenance_key({"a": 1}) != provenance_key({"a": 2})


def test_a_folder_without_code_is_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "nets").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nets is a folder, not a module with code"):
        provenance.module_hash("nets")


def test_the_commit_of_code_is_gits_and_says_whether_files_were_changed(tmp_path: Path):
    def git(*words: str) -> str:
        who = ("-c", "user.name=n", "-c", "user.email=e")
        return subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    file = tmp_path / "module.py"
    file.write_text("one = 1")
    assert commit_of(tmp_path / ".") == ""
    git("init", "--quiet")
    git("add", "module.py")
    git("commit", "--quiet", "--message", "one")
    git("tag", "--annotate", "v1", "--message", "a tag does not stand for it")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "new.csv").touch()  # files that Git does not know change nothing
    commit = git("rev-parse", "--short=12", "HEAD").strip()
    commit_of.cache_clear()
    assert commit_of(tmp_path) == commit and len(commit) == 12
    file.write_text("one = 2")
    commit_of.cache_clear()
    assert commit_of(tmp_path) == f"{commit}-dirty"
    commit_of.cache_clear()
    assert commit_of(file.parent / "results") == ""
