"""The package as others get it: built as a wheel, installed without the repository, used from another folder."""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from fig.data.arrays import Split
from fig.discriminator import Card, Discriminator, save
from support.workspace import SMALL_STUDY

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a command of an environment that has the wheel, and this one's libraries, but not this repository."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    (own,) = (folder / "env").glob("lib/python*/site-packages")
    (own / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")  # not its .pth files: no editable install
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, own], check=True)
    scripts = Path(sys.executable).parent

    def run(*words: str | Path, where: Path) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}
        env["PATH"] = f"{python.parent}{os.pathsep}{scripts}{os.pathsep}{env['PATH']}"
        done = subprocess.run([python, *words], cwd=where, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def test_the_code_is_the_wheels(installed: Run, tmp_path: Path):
    place = Path(installed("-c", "import fig; print(fig.__file__)", where=tmp_path).stdout.strip())
    assert ROOT not in place.parents and (place.parent / "Snakefile").exists()
    assert "0." in installed("-m", "fig", "--version", where=tmp_path).stdout


def test_it_plans_a_copy_of_a_configuration_with_a_preset(installed: Run, tmp_path: Path):
    demo = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text()) | {"preset": "authors"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(demo))
    printed = installed("-m", "fig", "plan", "mine.yaml", where=tmp_path).stdout
    assert "pretrain" in printed and "CPU-hours" in printed
    planned = installed("-m", "fig", "run", "mine.yaml", "--dry-run", where=tmp_path).stdout
    assert "results/demo/report.html" in planned


def test_it_patches_a_classifier(installed: Run, small: Discriminator, stripes: Split, tmp_path: Path):
    folder = tmp_path / "stripes" / "resnet18" / "standard" / "0"
    folder.mkdir(parents=True)
    save(folder, small, Card(small.architecture, "stripes", "standard", 0, "untrained"))
    images = Path(stripes.images.filename)
    options = ["--iterations", "3", "--batch-size", "16", "--out", "patched"]
    installed("-m", "fig", "patch", folder, images, *options, where=tmp_path)
    assert (tmp_path / "patched" / "model.safetensors").exists()


TINY = {
    "run": "small",
    "seeds": [0],
    "networks": {"resnet18": {"width": 0.0625}},
    "studies": [SMALL_STUDY],
    "detectors": {"baseline": {}},
    "variants": {"fig": {"method": "fig"}},
    "pretraining": {"iterations": 10, "batch_size": 64},
    "finetuning": {"iterations": 3, "batch_size": 64},
    "evaluation": {"images": 50},
    "resources": {"training": {"workers": 0}, "evaluation": {"workers": 0}},
}
MODULE = """
from fig.commands.run import workflow_root


configfile: "mine.yaml"


module fig:
    snakefile:
        str(workflow_root() / "Snakefile")
    config:
        config


use rule * from fig as fig_*


rule all:
    default_target: True
    input:
        "results/small/report.html",
"""


@pytest.mark.pipeline
def test_it_runs_a_small_study_and_is_a_module_of_another_workflow(installed: Run, tmp_path: Path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(TINY))
    installed("-m", "fig", "run", "mine.yaml", where=tmp_path)
    page = (tmp_path / "results/small/report.html").read_text()
    assert "Table 1" in page and "FIG" in page
    (tmp_path / "Snakefile").write_text(MODULE)
    planned = installed("-m", "snakemake", "--dry-run", "--cores", "1", where=tmp_path)
    assert "fig_pretrain" not in planned.stdout, "what was made counts as made"
