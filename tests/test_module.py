"""The workflow in others' hands: a module of another workflow, from its repository, and as snakedeploy deploys it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from support.workspace import Workspace, blocks, copy_of_project
from test_installed import TINY

pytestmark = pytest.mark.pipeline
ROOT = Path(__file__).parents[1]
DEPLOYED = """
configfile: "config/config.yaml"


module fig:
    snakefile:
        github("OWNER/fig", path="workflow/Snakefile", tag="TAG")
    config:
        config


use rule * from fig
"""  # as snakedeploy writes it


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that stands for GitHub, with the project's repository and a tag in it."""
    host = tmp_path_factory.mktemp("host")
    folder = host / "acme" / "fig"
    folder.mkdir(parents=True)
    copy_of_project(folder)
    author = ("-c", "user.name=acme", "-c", "user.email=acme@localhost")
    for words in (
        ("init", "--quiet"),
        ("add", "--all"),
        (*author, "commit", "--quiet", "-m", "all"),
        ("tag", "v0.1.0"),
    ):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return host


class Other(Workspace):
    """Another workflow's folder, where the package is installed and `hosted` is what git finds at GitHub."""

    @property
    def environment(self) -> dict[str, str]:
        found = super().environment
        host = self.folder.parent / "host"
        instead = {"COUNT": "1", "KEY_0": f"url.file://{host}/.insteadOf", "VALUE_0": "https://github.com/"}
        cache = {"XDG_CACHE_HOME": str(self.folder / "cache")}
        installed = {"PYTHONPATH": f"{ROOT}{os.pathsep}{found['PYTHONPATH']}"}
        return found | installed | cache | {f"GIT_CONFIG_{name}": value for name, value in instead.items()}


@pytest.fixture
def other(hosted: Path, tmp_path: Path) -> Other:
    """The folder of another workflow."""
    (tmp_path / "host").symlink_to(hosted)
    (tmp_path / "other").mkdir()
    return Other(tmp_path / "other")


def write_workflow(other: Other, text: str, **config: object) -> None:
    """Write a Snakefile that names the repository by place holders, and its configuration."""
    (other.folder / "Snakefile").write_text(text.replace("OWNER", "acme").replace("TAG", "v0.1.0"))
    (other.folder / "config").mkdir(exist_ok=True)
    (other.folder / "config" / "config.yaml").write_text(yaml.safe_dump(TINY | config))


def test_another_workflow_changes_a_rule_and_uses_its_results(other: Other):
    (snakefile,) = blocks(ROOT / "docs" / "extending.md", "snakemake")
    write_workflow(other, snakefile)
    done = other.run("snakemake", "accuracy/digits/resnet18/standard/0.csv", "--cores", "2")
    assert "mem_mb=16000" in done.stderr + done.stdout
    assert (other.folder / "benchmarks/small/digits-resnet18-standard-0.tsv").exists()
    assert "accuracy" in (other.folder / "accuracy/digits/resnet18/standard/0.csv").read_text()


def test_a_rule_may_run_a_module_of_the_other_workflow(other: Other):
    job = 'job=lambda wildcards: ["mytools.evaluate", wildcards.variant]'
    write_workflow(other, f"{DEPLOYED}\n\nuse rule evaluate from fig with:\n    params:\n        {job},\n")
    planned = other.run("snakemake", "--dry-run", "--cores", "2", "-p").stdout
    assert "python -m mytools.evaluate standard --resources.workers 0 2> " in planned
    assert "python -m fig.stages.evaluate" not in planned


@pytest.mark.parametrize("rule", ["pretrain", "finetune", "throughput", "prepare"])
def test_any_rule_may_be_changed(other: Other, rule: str):
    changed = f"\n\nuse rule {rule} from fig with:\n    resources:\n        mem_mb=1234,\n"
    targets = TINY["studies"][0]["targets"]
    write_workflow(other, DEPLOYED + changed, studies=[TINY["studies"][0] | {"targets": [*targets, "table5"]}])
    planned = other.run("snakemake", "--dry-run", "--cores", "2").stdout
    jobs = [text for text in planned.split("\nrule ") if "mem_mb=1234," in text]
    assert jobs and all(text.startswith(f"{rule}:") for text in jobs)


def test_a_modules_downloads_stay_on_the_machine_of_snakemake(other: Other):
    renamed = DEPLOYED.replace("* from fig", "* from fig as fig_*")
    write_workflow(other, f"{renamed}\n\nprint('local:', *workflow._localrules)\n")
    assert "local: fig_download\n" in other.run("snakemake", "--list-rules").stdout


def test_a_prefix_of_the_module_is_refused_in_one_sentence(other: Other):
    write_workflow(other, DEPLOYED.replace("    config:\n", '    prefix:\n        "ours"\n    config:\n'))
    done = other.run("snakemake", "--dry-run", "--cores", "2", check=False)
    assert done.returncode and "prefix of the module is refused" in done.stderr + done.stdout


def test_what_snakedeploy_deploys_plans_the_demo(other: Other, hosted: Path):
    write_workflow(other, DEPLOYED)
    shutil.rmtree(other.folder / "config")
    shutil.copytree(hosted / "acme" / "fig" / "config", other.folder / "config")
    assert "results/demo/report.html" in other.run("snakemake", "--dry-run", "--cores", "2").stdout


def test_the_repository_has_what_the_catalogue_of_workflows_asks_for():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"] == {"conda": True, "apptainer": True, "apptainer+conda": False}
    assert (ROOT / "workflow" / "Snakefile").is_file() and (ROOT / "config" / "README.md").is_file()
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme and "workflow" in readme
