"""What a change reruns: docs/reruns.md is true, and the same holds if Snakemake's memory is lost."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fig.commands.jobs import PlannedJob, list_jobs, list_jobs_to_run
from fig.commands.stale import find_stale
from fig.runtime import job, provenance
from fig.study.reference import list_all_keys
from fig.study.targets import TARGETS
from support import reruns_page as reruns
from support.workspace import ROOT, Workspace

pytestmark = pytest.mark.pipeline


def test_the_page_on_reruns_says_what_snakemake_does():
    command = [sys.executable, "-m", "support.reruns_page"]
    path = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    printed = subprocess.run(command, cwd=ROOT, env=path, capture_output=True, text=True, check=True)
    page = (ROOT / "docs" / "reruns.md").read_text()
    assert printed.stdout == page, "out of date: `make docs` rebuilds the page"


def of_any_part(key: str) -> str:
    """A data set's key without the part of it that it is about: all parts are read alike."""
    words = key.replace("published.*", "images").split(".")
    return ".".join("PART" if word in ("train", "test", "images") and i == 2 else word for i, word in enumerate(words))


def test_every_key_of_the_configuration_is_on_the_page():
    with reruns.begun():
        stated = {of_any_part(key) for key in reruns.settings()}
    allowed = {of_any_part(row.key) for row in list_all_keys()}
    allowed -= {"pretraining.iterations", "finetuning.epochs"}  # instead of the other
    missing = {key for key in allowed - stated if not key.startswith("variants.")}  # a variant's differences are alike
    assert not missing, "tests/everything.yaml lacks them"


def test_every_stage_and_every_target_is_a_rule_of_the_page():
    stages = {path.stem for path in ROOT.glob("fig/stages/*.py") if "run_stage(__spec__" in path.read_text()}
    with reruns.begun():
        rules = {each.rule for each in list_jobs([reruns.STUDY])}
    assert rules == stages - {"target"} | set(TARGETS), "tests/everything.yaml lacks them"


def what_follows(jobs: list[PlannedJob], begun: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """The outputs of these jobs and of all that follow from them, a tuple for each job."""
    found = set(begun)
    for _ in jobs:
        new = {path for outputs in found for path in outputs}
        found |= {each.output for each in jobs if new & set(each.input)}
    return found


def edited(monkeypatch: pytest.MonkeyPatch, folder: Path, path: str, old: str, new: str) -> None:
    """Let fingerprints be those of a copy of the code in which a text is another."""
    if not folder.exists():
        shutil.copytree(ROOT / "fig", folder / "fig")
        monkeypatch.setattr(provenance, "ROOT", folder)
    file = folder / path
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    provenance.examine.cache_clear()
    job.code_of.cache_clear()


def test_what_is_stale_is_the_same_without_snakemakes_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def agreed() -> set[str]:
        jobs, planned = list_jobs([reruns.STUDY]), list_jobs_to_run([reruns.STUDY])
        begun = {each.output for each in find_stale(jobs)}
        assert what_follows(jobs, begun) == {each.output for each in planned}
        return {each.rule for each in planned if each.output in begun}

    with reruns.finished():
        assert agreed() == set()
        stated = reruns.settings()
        expected = {
            "networks.*.taps": {"adopt"},
            "fig.sampler.step_size": {
                *("retrain", "finetune", "transfer", "evaluate"),
                *("throughput", "embedding", "chains"),  # which draw samples too
            },
        }
        for key, rules in expected.items():
            with reruns.change_of_setting(key, *stated[key]).made():
                assert agreed() == rules, key
        for change in reruns.INPUTS:
            if change.path.name in ("weights.safetensors", "test.npz"):
                with change.made():
                    agreed()
        code = tmp_path / "code"
        edited(monkeypatch, code, "fig/methods/deconf.py", '"deconf"', '"deconf" + ""')
        assert agreed() == {"retrain"}
        edited(monkeypatch, code, "fig/detectors/odin.py", "import torch\n", "import torch\n\nEDITED = 1\n")
        assert agreed() == {"retrain", "evaluate"}


def test_a_copy_without_times_and_memory_makes_what_is_stale_and_nothing_else(finished: Workspace, tmp_path: Path):
    shutil.copytree(finished.folder, tmp_path, symlinks=True, dirs_exist_ok=True, copy_function=shutil.copy)
    workspace = Workspace(tmp_path)
    recover = ("python", "-m", "fig", "recover", "tests/tiny.yaml")
    shutil.rmtree(tmp_path / ".snakemake")
    assert not workspace.run(*recover).stdout and workspace.planned() == set()
    shutil.rmtree(tmp_path / ".snakemake")
    workspace.edit("tests/tiny.yaml", "  fig: {method: fig}\n", "  fig: {method: fig, fig: {K: 0.2}}\n")
    printed = workspace.run(*recover).stdout
    assert "fig/0/model.safetensors: its settings settings.K changed" in printed and printed.count("stale") == 1
    lines = workspace.snakemake("--dry-run", "--quiet", "rules").stdout.splitlines()
    counts = dict(words for line in lines if len(words := line.split()) == 2 and words[1].isdigit())
    assert counts.pop("finetune") == counts.pop("evaluate") == "1"
    assert not set(counts) & {"prepare", "pretrain", "retrain", "transfer"}
