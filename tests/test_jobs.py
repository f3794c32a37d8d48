"""Jobs describe themselves: their command lines, their records, and what makes one stale, for every stage."""

import hashlib
import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from fig.data.catalogue import File, Recipe
from fig.discriminator import Architecture, Card, Discriminator, save
from fig.networks.heads import NORMALISED
from fig.runtime.job import Job, Role, job_class, names_by_role, parse_command, parse_words
from fig.runtime.record import Origin, Record, Times, hash_input, read_record
from fig.settings import Augmentation, ChainsSettings, Finetuning, Pretraining, Resources, SamplerSettings
from fig.stages.adopt import Adopt
from fig.stages.chains import Chains
from fig.stages.download import Download
from fig.stages.embedding import Embedding
from fig.stages.evaluate import Evaluate
from fig.stages.finetune import Finetune
from fig.stages.metrics import Metrics
from fig.stages.prepare import Prepare
from fig.stages.pretrain import Pretrain
from fig.stages.report import Report
from fig.stages.retrain import Retrain
from fig.stages.support.trainer import start
from fig.stages.target import MakeTarget
from fig.stages.throughput import Throughput
from fig.stages.transfer import Transfer
from fig.study import Selection, Study

ROOT = Path(__file__).parents[1]
FOLDER, TRAIN, TEST = Path("results/a b/fig/0"), Path("data/32/digits/train.npy"), Path("data/32/digits/test.npy")
STUDY = Study(("digits",), ("photos-c",), ("resnet18",), ("standard", "it's", "fig-k0.4"), ("baseline",))
SELECTION = Selection(
    (STUDY,), (0, 1), {"digits": "Digits", "a.b": "A"}, {"it's": {"method": "fig"}, "fig-k0.4": {"method": "fig"}}
)
PLACES = {"train": TRAIN, "output": FOLDER, "checkpoints": Path("results/checkpoints")}
CROPS = Augmentation(32, padding=2, flip=True)
NETWORK = {"network": "own", "architecture": {"factory": "json:loads", "arguments": {"names": ["x", "y z"], "a.b": 1}}}
SAMPLER = SamplerSettings(noise="none", max_steps=50)
JOBS = [
    Adopt(train=TRAIN, weights=Path("w.pt"), size=32, seed=1, output=FOLDER, **NETWORK),
    Chains(discriminator=FOLDER, test=TEST, settings=ChainsSettings(steps=5, wanted={"digits": "3"}), sampler=SAMPLER),
    Download(file=File("http://x/y.zip", hash="md5:00"), output=Path("data/downloads/x/y.zip"), mirror="/m"),
    Embedding(discriminator=FOLDER, test=TEST, resources=Resources(workers=2, nodes=2)),
    Evaluate(
        discriminator=FOLDER, train=TRAIN, test=TEST, ood=(TEST, TRAIN), detectors={"odin": {"temperatures": [1]}}
    ),
    Finetune(
        standard=FOLDER,
        variant="fig",
        method="fig",
        settings={"K": 0.5},
        training=Finetuning(milestones=(0.5,)),
        augmentation=CROPS,
        **PLACES,
    ),
    Metrics(selection=SELECTION, folder=Path("results/demo")),
    Prepare(files=(Path("a.zip"),), train=TRAIN, recipe=Recipe("classes", "test", 32, "centre", short=32), output=TEST),
    Pretrain(
        training=Pretraining(epochs=0, iterations=3, milestones=(), cosine_to=1e-6, nesterov=True),
        augmentation=CROPS,
        **PLACES,
        **NETWORK,
    ),
    Report(selection=SELECTION, targets=("table1", "fig3"), data=(Path("a.json"),), folder=Path("results/demo")),
    Retrain(variant="mixup", method="mixup", augmentation=CROPS, scaling="standardised", **PLACES, **NETWORK),
    MakeTarget(target="resampling", selection=SELECTION, images=(TEST,), folder=Path("results/demo")),
    Throughput(discriminator=FOLDER, output=Path("results/t.json"), resources=Resources(gpus_per_worker=0.5)),
    Transfer(standard=FOLDER, teacher=Path("t"), variant="t", method="fig", augmentation=CROPS, **PLACES),
]
STAGES = {path.stem for path in ROOT.glob("fig/stages/*.py")} - {"__init__"}
by_stage = pytest.mark.parametrize("job", JOBS, ids=lambda job: job.stage())


def test_every_stage_is_among_the_examples():
    assert {job.stage() for job in JOBS} == STAGES


@by_stage
def test_the_command_line_of_a_job_describes_that_job(job: Job):
    assert parse_command(job.command()) == job
    assert parse_command(f"{job.command()} 2> results/some.log") == job


@by_stage
def test_a_command_line_says_only_what_differs_from_the_defaults(job: Job):
    required = [each for each in fields(job) if f"--{each.name.replace('_', '-')}" in " ".join(job.words())]
    assert len(job.command()) < 900 and required


@by_stage
def test_every_field_has_one_role_and_a_sentence(job: Job):
    roles = [names_by_role(type(job), role) for role in Role]
    assert sorted(name for names in roles for name in names) == sorted(each.name for each in fields(job))
    for each in fields(job):
        own = [getattr(cls, "__pydantic_fields__", {}).get(each.name) for cls in type(job).__mro__]
        assert any(found is not None and found.description for found in own), each.name


@by_stage
def test_a_jobs_origin_holds_its_settings_in_full_and_none_of_its_runtime(job: Job):
    origin = job.origin()
    assert set(origin.settings) - {"stages"} == set(names_by_role(type(job), Role.SETTING))
    assert json.loads(json.dumps(origin.settings)) == dict(origin.settings)
    if "resources" in names_by_role(type(job), Role.RUNTIME):
        assert replace(job, resources=Resources(workers=7)).origin() == origin


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_help_is_instant_and_has_an_example(stage: str):
    pytest.importorskip("psutil")
    code = (
        "import sys; sys.argv = ['x', '--help']; from fig.runtime.job import run_stage;"
        f"run_stage('fig.stages.{stage}');"
        "sys.exit(bool({'torch', 'ray', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or "a heavy library was imported"
    assert f"Example: python -m fig.stages.{stage}" in done.stdout and "--" in done.stdout


NOT_TO_START_WITH = ["matplotlib", "mlflow", "pandas", "ray", "scipy", "sklearn", "torch._dynamo", "torchvision"]


@pytest.mark.slow
def test_a_jobs_work_begins_before_what_it_needs_later_is_imported():
    works = sorted({job.work.partition(":")[0] for job in JOBS if job.work and job.stage() != "report"})
    code = (
        f"import sys, importlib; [importlib.import_module(name) for name in {works}];"
        f"print(*sorted({{*{NOT_TO_START_WITH}}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "\n", done.stderr or done.stdout


def test_a_stage_seeks_no_garbage_until_its_work_is_imported_and_does_from_then_on():
    pytest.importorskip("psutil")
    (job,) = [job for job in JOBS if job.stage() == "report"]
    code = (
        "import gc, sys; from fig.runtime.job import job_class, run_stage; found = job_class('fig.stages.report');"
        f"sys.argv = ['x', *{job.words()}]; seen = [];"
        "found.load_work = lambda self: seen.append(gc.isenabled());"
        "found.execute = lambda self, started: print(seen, gc.isenabled());"
        "run_stage('fig.stages.report')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "[False] True\n", done.stderr


def test_a_stage_ends_once_its_threads_and_last_duties_are_done_and_takes_nothing_apart():
    code = (
        "import atexit, threading; from concurrent.futures import ThreadPoolExecutor\n"
        "from fig.runtime.command import leave\n"
        "class Kept:\n    def __del__(self): print('taken apart')\n"
        "kept, pool, go = Kept(), ThreadPoolExecutor(1), threading.Event(); pool.submit(print, 'pool')\n"
        "atexit.register(print, 'last'); threading.Thread(target=lambda: (go.wait(), print('thread'))).start()\n"
        "threading.Timer(0.1, go.set).start(); print('first'); leave()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, *others, last = sorted(done.stdout.split(), key=["first", "pool", "thread", "last"].index)
    assert (first, others, last) == ("first", ["pool", "thread"], "last") and done.stdout.endswith("last\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--sed", "3"], "Unknown option: --sed. Did you mean --seed?"),
        (["--training.batch-size", "0"], "training.batch_size is '0': it must be at least 1"),
    ],
)
def test_a_wrong_option_is_one_sentence(words: list[str], sentence: str):
    (job,) = [job for job in JOBS if job.stage() == "finetune"]
    with pytest.raises(ValueError) as refusal:
        parse_words(Finetune, [*job.words(), *words])
    assert sentence in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_method_that_there_is_not_is_named_with_the_nearest(tmp_path: Path):
    with pytest.raises(ValueError, match=r"unknown method 'fog' \(did you mean 'fig'\?\)"):
        finetuning(tmp_path, method="fog").origin()


def test_a_command_of_something_else_is_refused():
    with pytest.raises(ValueError, match="not a command of a stage"):
        parse_command("python -m fig plan x.yaml")


def finetuning(folder: Path, **changes: Any) -> Finetune:
    """A fine-tuning whose inputs are there."""
    (folder / "standard").mkdir(exist_ok=True)
    (folder / "standard" / "discriminator.json").write_text(json.dumps({"key": "k"}))
    (folder / "train.npy").write_bytes(b"images")
    places = {"train": folder / "train.npy", "standard": folder / "standard", "output": folder / "out"}
    return Finetune(**{**places, "checkpoints": folder, "method": "fig", "augmentation": CROPS, **changes})


@pytest.mark.parametrize("head", ["linear", "t2fnorm"])
def test_a_fine_tuning_keeps_the_head_of_its_base_whatever_head_its_method_has(head: str, tmp_path: Path):
    base = Discriminator(Architecture("resnet18", classes=2, size=16, width=1 / 16, head=head), seed=0)
    save(tmp_path, base, Card(base.architecture, "stripes", "standard", 0, "key", {}, {}, ("a", "b")))
    discriminator, method = start(finetuning(tmp_path, method="ascood", standard=tmp_path))
    assert method.head == "ascood" and discriminator.architecture.head == head
    heads = [each for each in discriminator.network.modules() if isinstance(each, tuple(NORMALISED.values()))]
    assert bool(heads) == (head in NORMALISED) and all(isinstance(each, NORMALISED[head]) for each in heads)


def test_the_differences_of_two_origins_name_what_changed(tmp_path: Path):
    before = finetuning(tmp_path).origin()
    assert list(before.differences(before)) == []
    after = finetuning(tmp_path, settings={"sampler": {"noise": "none"}}, training=Finetuning(iterations=3)).origin()
    (said,) = before.differences(after)
    assert said == "its settings settings.sampler.noise, training.iterations"
    (tmp_path / "standard" / "discriminator.json").write_text(json.dumps({"key": "other"}))
    (said,) = before.differences(replace(before, inputs={path: hash_input(Path(path)) for path in before.inputs}))
    assert said == f"its inputs {tmp_path / 'standard'}"


def test_a_key_depends_on_what_the_inputs_are_and_not_on_where(tmp_path: Path):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    here, there = (finetuning(tmp_path / name) for name in ("here", "there"))
    assert here.origin().key == there.origin().key and len(here.origin().key) == 16
    (tmp_path / "there" / "train.npy").write_bytes(b"other images")
    assert here.origin().key != there.origin().key
    assert replace(here, seed=1).origin().key != here.origin().key


def test_a_record_comes_back_as_it_was_written(tmp_path: Path):
    job = finetuning(tmp_path)
    written = Record(job.origin(), job.command(), job.values(Role.RUNTIME), Times(work=3.0), "0a1b2c")
    written.write(tmp_path / "x.record.json")
    read = read_record(tmp_path / "x.record.json")
    assert read is not None and read.origin == written.origin and read.command == written.command
    assert read.runtime["resources"]["workers"] == 1 and read.commit == "0a1b2c"
    assert read.times.work == 3.0 and read.times.ended > 0
    assert read_record(tmp_path / "none.json") is None


@pytest.mark.slow
def test_a_job_called_from_python_leaves_the_record_of_one_called_from_a_shell(tmp_path: Path):
    pytest.importorskip("psutil")
    recipe = Recipe("photographs", "test", 16, "crop")
    jobs = [Prepare(recipe=recipe, output=tmp_path / name / "photos-c" / "test.npy") for name in ("python", "shell")]
    jobs[0].execute()
    words = jobs[1].command().split()[1:]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True)
    ours, theirs = (read_record(job.record_path()) for job in jobs)
    assert ours is not None and theirs is not None and ours.origin == theirs.origin
    assert ours.command == jobs[0].command() and theirs.command == jobs[1].command()


def test_a_download_leaves_the_file_and_no_record(tmp_path: Path):
    (tmp_path / "mirror" / "x").mkdir(parents=True)
    (tmp_path / "mirror" / "x" / "y.zip").write_bytes(b"content")
    digest = hashlib.md5(b"content").hexdigest()
    job = Download(
        file=File("http://nowhere.invalid/y.zip", hash=f"md5:{digest}"),
        output=tmp_path / "downloads" / "x" / "y.zip",
        mirror=str(tmp_path / "mirror"),
    )
    job.execute()
    assert job.output.read_bytes() == b"content" and not list(tmp_path.glob("**/*.record.json"))


def test_an_input_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"prepare: there is no .*a\.zip"):
        Prepare(files=(tmp_path / "a.zip",), recipe=JOBS[7].recipe, output=tmp_path / "test.npy").execute()


def test_the_class_of_a_stage_is_found_by_its_module():
    assert all(job_class(f"fig.stages.{job.stage()}") is type(job) for job in JOBS)


def test_an_origin_is_what_decides_the_result():
    assert {each.name for each in fields(Origin)} == {"stage", "code", "settings", "inputs"}


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.stage())
def test_no_field_of_a_job_hides_a_method(job: Job):
    methods = {name for name, value in vars(Job).items() if callable(value) and not name.startswith("_")}
    assert not methods & {each.name for each in fields(job)}
