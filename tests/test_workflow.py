"""What the workflow reruns, refuses and plans, by the real Snakefile; docs/reruns.md has the reruns of all changes."""

from pathlib import Path

import pytest

from support.workspace import Workspace, copy_of_results

pytestmark = pytest.mark.pipeline

REPORTING = {"table2", "paired", "comparison", "finetuning", "scores", "samples", "metrics", "report"}
AFTER_PRETRAINING = {"finetune", "transfer", "evaluate"} | REPORTING


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    return copy_of_results(finished, tmp_path)


def test_the_study_runs_from_images_to_report(finished: Workspace):
    page = (finished.folder / "results/tiny/report.html").read_text()
    assert "fig-teacher-vgg19" in page and "AUROC" in page


def test_nothing_reruns_when_nothing_changed(finished: Workspace):
    assert finished.planned() == set()


def test_nothing_reruns_after_touching_code_and_data(workspace: Workspace):
    for path in (*workspace.folder.glob("fig/**/*.py"), *workspace.folder.glob("data/**/*.npy")):
        path.touch()
    assert workspace.planned() == set()


def test_a_list_on_the_command_line_overrides_the_files(workspace: Workspace):
    assert workspace.planned("--config", "seeds=[9]") >= {"pretrain", *AFTER_PRETRAINING}


def test_editing_the_sampler_reruns_fine_tuning_and_later_but_no_pretraining(workspace: Workspace):
    workspace.edit("fig/langevin.py", "step_size / 2 * direction_of(", "step_size / 3 * direction_of(")
    assert workspace.planned() == AFTER_PRETRAINING


def test_changing_K_reruns_fine_tuning_and_later_but_no_pretraining(workspace: Workspace):
    workspace.edit("tests/tiny.yaml", "pretraining: {epochs: 8", "fig: {K: 0.2}\n\npretraining: {epochs: 8")
    assert workspace.planned() == AFTER_PRETRAINING


@pytest.mark.parametrize(
    ("profile", "run"), [("local", "results/demo/report.html"), ("slurm", "results/paper/report.html")]
)
def test_each_profile_brings_its_configuration_and_plans_the_study(finished: Workspace, profile: str, run: str):
    planned = finished.run("snakemake", "--profile", profile, "--dry-run", "--forceall").stdout
    assert run in planned


def test_the_papers_study_is_171_trainings_for_each_of_its_three_seeds(finished: Workspace):
    done = finished.run("snakemake", "--profile", "slurm", "--dry-run", "--forceall", "--quiet", "rules")
    lines = (line.split() for line in (done.stdout + done.stderr).splitlines())
    jobs = {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}
    assert sum(jobs[stage] for stage in ("pretrain", "retrain", "finetune", "transfer")) == 3 * 171
    assert jobs["evaluate"] == 3 * 171


def test_a_configfile_overrides_the_profiles(finished: Workspace):
    done = finished.run("snakemake", "--profile", "local", "--configfile", "tests/tiny.yaml", "--dry-run")
    assert "Nothing to be done" in done.stdout + done.stderr


def test_a_wrong_key_is_refused_in_one_sentence_before_any_job(workspace: Workspace):
    workspace.edit("tests/tiny.yaml", "finetuning: {", "finetuning: {lerning_rate: 0.1, ")
    done = workspace.snakemake(check=False)
    assert (
        done.returncode
        and "finetuning.lerning_rate: unknown key (did you mean 'learning_rate'?)" in done.stderr + done.stdout
    )


def test_a_configuration_is_asked_for_where_there_is_none(workspace: Workspace):
    done = workspace.run("snakemake", "--cores", "1", check=False)
    assert "--profile local" in done.stderr + done.stdout


def test_planning_a_study_imports_neither_torch_nor_ray(finished: Workspace):
    code = (
        "import sys; from pathlib import Path; from fig.commands.jobs import list_jobs;"
        "sys.exit(not list_jobs([Path('tests/tiny.yaml')]) or bool({'torch', 'ray'} & set(sys.modules)))"
    )
    finished.run("python", "-c", code)
