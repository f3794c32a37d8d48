"""Containers: what the images and the conda environment have in common, and jobs that run in an image."""

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from fig.runtime.slurm import ray_over
from support.workspace import Workspace, blocks, copy_of_project

ROOT = Path(__file__).parents[1]
OCI, APPTAINER, CONDA = (ROOT / "envs" / name for name in ("Containerfile", "apptainer.def", "fig.yaml"))
AFTER_CONDA = ROOT / "envs" / "fig.post-deploy.sh"
APPTAINER_STAND_IN = """#!/bin/sh
if [ "$1" = --version ]; then echo "apptainer version 1.4.0"; exit; fi
printf '%s\\n' "$*" >> calls
until [ "$1" = /shared/fig.sif ]; do shift; done
shift
exec "$@"
"""


def installs(file: Path) -> list[list[str]]:
    """What `uv pip install` is given in a file, the interpreter and what changes no package aside."""
    lines = file.read_text().replace("\\\n", " ").splitlines()
    given = [shlex.split(line.partition("uv pip install ")[2]) for line in lines if "uv pip install " in line]
    aside = {"--quiet", "--no-cache", "--compile-bytecode", "--no-build-isolation", "--editable"}
    return [[word for word in words[words.index("--python") + 2 :] if word not in aside] for words in given]


@pytest.mark.parametrize("file", [ROOT / "Makefile", AFTER_CONDA, OCI, APPTAINER], ids=lambda path: path.name)
def test_every_environment_has_the_packages_of_the_lock_and_no_others(file: Path):
    assert installs(file)[:2] == [["--require-hashes", "-r", "requirements.lock"], ["--no-deps", "."]]


def test_the_images_and_the_conda_environment_have_one_python_and_one_uv():
    tagged, digest = re.search(
        r"python:(3\.\d+)\.\d+\S*@(sha256:[0-9a-f]{64})$", OCI.read_text(), re.MULTILINE
    ).groups()
    wanted = yaml.safe_load(CONDA.read_text())["dependencies"]
    assert f"python={tagged}" in wanted and f"From: python@{digest}\n" in APPTAINER.read_text()
    uv = next(each for each in wanted if each.startswith("uv"))
    assert all(f'pip install --no-cache-dir "{uv}"' in file.read_text() for file in (OCI, APPTAINER))


@pytest.mark.slow
def test_the_wheel_is_made_of_the_files_that_enter_an_image(tmp_path: Path):
    pytest.importorskip("hatchling")
    entering = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = re.findall(r"^    (\S+) /build/(\S+)$", APPTAINER.read_text(), re.MULTILINE)
    assert sorted(copied) == sorted((name, name) for name in entering)
    context = tmp_path / "context"
    for name in entering:
        target = context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT / name, target) if (ROOT / name).is_dir() else shutil.copy(ROOT / name, target)
    found = []
    for source in (context, ROOT):
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / source.name]
        subprocess.run(build, cwd=source, check=True, capture_output=True)
        (wheel,) = (tmp_path / source.name).glob("*.whl")
        found.append(sorted(zipfile.ZipFile(wheel).namelist()))
    assert found[0] == found[1] and "fig/envs/Containerfile" in found[0]


def test_several_nodes_are_refused_where_there_is_no_srun(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(OSError, match="need srun, which is not here"), ray_over(2, "127.0.0.1", {"num-cpus": 1}):
        pass


@pytest.fixture
def contained(tmp_path: Path) -> Workspace:
    """A copy of the project whose `apptainer` keeps its command line, and runs the rest of it without a container."""
    project = copy_of_project(tmp_path)
    stand_in = tmp_path / "bin" / "apptainer"
    stand_in.parent.mkdir()
    stand_in.write_text(APPTAINER_STAND_IN)
    stand_in.chmod(0o755)
    return project


@pytest.mark.pipeline
def test_jobs_run_in_the_container_of_the_configuration(contained: Workspace):
    config, profile = blocks(ROOT / "docs" / "cluster.md", "yaml")[-2:]
    (contained.folder / "site.yaml").write_text(config)
    path = f"{contained.folder / 'bin'}:{contained.environment['PATH']}"
    command = ["snakemake", "data/32/digits/train.npy", "--cores", "1", "--configfile", "tests/tiny.yaml", "site.yaml"]
    contained.run(*command, PATH=path)
    assert not (contained.folder / "calls").exists(), "jobs run where Snakemake does unless something else is stated"
    (contained.folder / "profiles" / "default").mkdir()
    (contained.folder / "profiles" / "default" / "config.yaml").write_text(profile)
    contained.run(*command, PATH=path)  # again, for the software is another one
    (call,) = (contained.folder / "calls").read_text().splitlines()
    assert call.startswith(f"exec --home {contained.folder} --nv --bind /scratch ")
    assert "/shared/fig.sif bash -c set -euo pipefail; python -m fig.stages.prepare" in " ".join(call.split())
