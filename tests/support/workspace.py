"""A copy of the project to run the real Snakefile in, edit and kill."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fig.study.targets import TARGETS
from support.guides import read_blocks

ROOT = Path(__file__).parents[2]
HOOKS = Path(__file__).with_name("hooks")
PARTS = ("Snakefile", "workflow", "fig", "config", "profiles", "envs", "tests", "local", "slurm")

SMALL_STUDY = {  # as a configuration states it
    "id_datasets": ["digits"],
    "ood_datasets": ["photos-c"],
    "networks": ["resnet18"],
    "variants": ["standard", "fig"],
    "targets": ["table1"],
}
SECRETS = {  # of an environment; none of these values may be written anywhere
    name: f"planted-{name.lower()}"
    for name in (
        "AWS_SECRET_ACCESS_KEY",
        "GITHUB_TOKEN",
        "HF_TOKEN",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "RAY_AUTH_TOKEN",
        "SSH_PRIVATE_KEY",
        "WANDB_API_KEY",
    )
}


@dataclass(frozen=True)
class Workspace:
    """The folder of the copy, and commands run there by this interpreter."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """This environment with the copy's code first, and no tracking server or cluster of ours."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ours = {"PATH": path, "PYTHONPATH": f"{self.folder}{os.pathsep}{HOOKS}"}
        return {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS")} | ours

    def run(self, *command: str | Path, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the copy, its output captured; an unexpected failure shows it."""
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            env=self.environment | environment,
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def snakemake(self, *options: str, configfile: str = "tests/tiny.yaml", check: bool = True):
        """Run the workflow with the profile for one machine."""
        return self.run("snakemake", *options, "--profile", "local", "--configfile", configfile, check=check)

    def planned(self, *options: str, configfile: str = "tests/tiny.yaml") -> set[str]:
        """Names of the rules that a dry run would run."""
        output = self.snakemake(*options, "--dry-run", "--quiet", "rules", configfile=configfile).stdout
        rules = {path.stem for path in (self.folder / "fig" / "stages").glob("*.py")} | set(TARGETS)
        counted = {
            line.split()[0] for line in output.splitlines() if len(line.split()) == 2 and line.split()[1].isdigit()
        }
        return counted & rules

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text that stands in a file of the copy."""
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{path} has no {old!r}"
        file.write_text(text.replace(old, new))


@contextmanager
def linked_project(folder: Path) -> Iterator[Path]:
    """Work in `folder`, in which the project is by links: enough to plan its studies."""
    for name in ("Snakefile", "workflow", "config", "fig"):
        (folder / name).symlink_to(ROOT / name)
    with chdir(folder):
        yield folder


def blocks(page: Path, language: str) -> list[str]:
    """The code of a page of documentation in one language."""
    return [block.code for block in read_blocks(page) if block.language == language]


def copy_of_project(folder: Path) -> Workspace:
    """A workspace with the project's code in `folder`, and nothing of its data or results."""
    for part in PARTS:
        source = ROOT / part
        if source.is_symlink():
            (folder / part).symlink_to(source.readlink())
        elif source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
        else:
            shutil.copy(source, folder / part)
    return Workspace(folder)


def copy_of_results(done: Workspace, folder: Path) -> Workspace:
    """A second workspace with everything of a first, metadata of Snakemake included, as `cp -rp` makes it."""
    shutil.copytree(done.folder, folder, symlinks=True, dirs_exist_ok=True)
    return Workspace(folder)
