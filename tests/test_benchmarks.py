"""Every benchmark runs, here at its smallest, where what it prints says nothing; on the GPU too where there is one."""

import json
import re
import runpy
import subprocess
import sys
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from fig.data.arrays import open_split
from fig.discriminator import Card, save
from fig.methods.table import METHODS
from fig.settings import Augmentation

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not find_spec("pytorch_ood"), reason="benchmarks need the packages of the extra `pipeline`"),
    pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens"),  # it reads sys.argv
]
FOLDER = Path(__file__).parents[1] / "benchmarks"
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=NO_GPU)]
RATIO = r"\d+\.\d\d× \(\d+\.\d\d to \d+\.\d\d, \d+ pairs?\)"  # noqa: RUF001

QUICK = {  # benchmarks with their arguments, and how many comparisons they print at least on a CPU
    "input_pipeline.py --pairs 1": 1,
    "methods.py --width 0.0625 --batch 8 --filters 4 --pairs 1": len(METHODS),
    "precision.py --width 0.0625 --iterations 1 --count 2": 0,
    "rates.py resnet18 --widths 0.0625 --batch 4 --count 1": 0,
    "sampler.py --networks resnet18 --width 0.0625 --batches 2 --steps 2 --iterations 1 --max-steps 2 --samples 12 "
    "--precisions float32 --no-large --pairs 1": 3,
}
LONG = {
    "memory.py 0.05 --iterations 2": 1,
    "sampler.py --networks vgg19 --width 0.0625 --batches 2 --steps 1 --iterations 1 --pairs 1": 4,
    "scaling.py overhead running --pairs 1": 7,
    "scaling.py workers mlflow --width 0.0625 --runs 20 --metrics 2 --pairs 1": 6,
}


def check_tables(printed: str, device: str, comparisons: int) -> None:
    """Every table is one, below a line about the machine, and so many of their rows at least compare two ways."""
    first, *lines = printed.splitlines()
    assert re.fullmatch(rf"\d+ cores of .*, torch .* on \d+, device: {device}.*, precision: .+", first)
    found = sum(bool(re.match(rf"\| [^|]+ \| {RATIO} \| ", line)) for line in lines)
    assert found >= (comparisons if device != "cuda" else 1)  # two workers need two GPUs
    widths = [line.count("|") for line in lines]
    for place in [place for place, line in enumerate(lines) if line.startswith("| ---")]:
        end = next((later for later in range(place, len(lines)) if not widths[later]), len(lines))
        assert end > place + 1 and set(widths[place - 1 : end]) == {widths[place]}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a benchmark's command line in this process, which has imported torch; gives what it printed."""
    monkeypatch.syspath_prepend(FOLDER)

    def run(*command: str) -> str:
        monkeypatch.setattr(sys, "argv", list(command))
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(FOLDER / command[0]), run_name="__main__")
        assert not ended.value.code
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("command", QUICK)
def test_a_benchmark_prints_its_comparisons(command: str, device: str, run):
    check_tables(run(*command.split(), "--device", device), device, QUICK[command])


def test_architectures_are_measured_once_and_read_again(run, tmp_path: Path):
    pytest.importorskip("transformers")
    command = ["architectures.py", "transformers ViT", "--iterations", "4", "--finetuning", "4", "--count", "8"]
    printed = run(*command, "--output", str(tmp_path))
    check_tables(printed, "cpu", 0)
    assert (
        "| baseline, odin, mahalanobis, residual_flow, KNN, ViM |" in printed and "| gram | it has no conv" in printed
    )
    assert run(*command, "--output", str(tmp_path)) == printed


@pytest.mark.long
def test_prepare_is_timed_on_no_device(run):
    check_tables(run("prepare.py", "--pairs", "1"), "none is used", 2)


@pytest.mark.long
@pytest.mark.timeout(2400)  # minutes among other tests
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("command", LONG)
def test_a_slow_benchmark_prints_its_comparisons(command: str, device: str):
    arguments = [sys.executable, *command.split(), "--device", device]
    done = subprocess.run(arguments, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    check_tables(done.stdout, device, LONG[command])


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_all_that_a_gpu_is_asked_can_be_rehearsed_without_one(tmp_path: Path):
    page = tmp_path / "gpu.md"
    arguments = [sys.executable, "gpu.py", "--rehearse", "--device", "cpu", "--output", str(page)]
    done = subprocess.run(arguments, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    found = page.read_text()
    assert found.count("\n## ") == 7 and "resnet18 | 0.0625 | float32" in found
    assert len(re.findall(rf"\| {RATIO} \| {RATIO} \|", found)) >= 3 + len(METHODS) + 1 + 8


def test_what_fails_on_a_gpu_is_said_and_later_parts_are_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.syspath_prepend(FOLDER)
    import gpu

    scripts = {"Broken": "print(1); raise SystemExit(3)", "Whole": "print(2)"}
    for name, script in scripts.items():
        (tmp_path / f"{name}.py").write_text(script)
    monkeypatch.setattr(gpu, "PARTS", {name: f"{tmp_path / name}.py | | " for name in scripts})
    with pytest.raises(SystemExit) as ended:
        gpu.main(output=tmp_path / "page.md", device="cpu")
    assert ended.value.code
    broken, whole = (tmp_path / "page.md").read_text().split("## ")[1:]
    assert "\n1\n\n**failed: exit status 3**" in broken and whole.endswith("\n2\n")


def test_emulated_tf32_keeps_ten_bits_of_a_mantissa(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(FOLDER)
    from precision import rounded

    values = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert rounded(1 + torch.tensor([2.0**-10, 2.0**-12, 2.0**-11 + 2.0**-13])).tolist() == [
        1 + 2.0**-10,
        1,
        1 + 2.0**-10,
    ]
    assert ((rounded(values) - values).abs() <= 2.0**-11 * values.abs()).all()
    assert rounded(rounded(values)).equal(rounded(values)) and rounded(-values).equal(-rounded(values))


def test_frequencies_of_a_studys_discriminators_are_compared(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.syspath_prepend(FOLDER)
    from digits import load_digits, train_some, write_digits

    trained = train_some("resnet18", load_digits(), 1, 0.0625)
    for variant, method in {"standard": {}, "gaussian": {"K": 0.1}, "fig": {"K": 0.1, "starts": ["phases"]}}.items():
        card = Card(trained.architecture, "digits", variant, 0, "key", settings={"method": method})
        (tmp_path / variant / "0").mkdir(parents=True)
        save(tmp_path / variant / "0", trained, card)
    images = str(write_digits(tmp_path, "test"))
    words = ["--variants", "gaussian", "fig", "--id-images", images, "--ood-images", images, "--count", "12"]
    printed = run("frequencies.py", str(tmp_path), *words, "--output", str(tmp_path / "out"))
    check_tables(printed, "cpu", 0)
    assert "| `gaussian` | 50.0 (+0.0) | " in printed and "| `fig` | 1.000 | 1.000 | 1.000 | 1.000 |" in printed
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"chains.png", "frequencies.png"}


def test_statistics_computed_again_forget_what_outliers_left(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.syspath_prepend(FOLDER)
    from batch_norms import compute_again
    from digits import load_digits, train_some, write_digits

    trained = train_some("airbench", load_digits(), 1, 0.0625)
    spoiled = deepcopy(trained)
    for name, values in spoiled.network.named_buffers():
        if "running" in name:
            values.add_(1)
    for variant, each in {"standard": trained, "spoiled": spoiled}.items():
        (tmp_path / variant / "0").mkdir(parents=True)
        save(tmp_path / variant / "0", each, Card(each.architecture, "digits", variant, 0, "key"))
    images = write_digits(tmp_path, "test")
    words = ["--variants", "spoiled", "--seeds", "0", "--train", str(images), "--id-images", str(images)]
    check_tables(run("batch_norms.py", str(tmp_path), *words, "--ood-images", str(images), "--count", "12"), "cpu", 0)
    for each in (trained, spoiled):
        compute_again(each, open_split(images), 12, Augmentation(trained.architecture.size, 2, flip=True))
    for name, values in trained.network.named_buffers():
        assert values.equal(spoiled.network.get_buffer(name)), name


def test_noise_of_a_band_has_its_frequencies_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(FOLDER)
    from frequencies import STRENGTH, draw_band

    noise = torch.Generator().manual_seed(0)
    power = torch.fft.fft2(draw_band(torch.zeros(2, 3, 32, 32), 1 / 8, 1 / 4, noise)).abs().square()
    radii = torch.hypot(torch.fft.fftfreq(32)[:, None], torch.fft.fftfreq(32))
    assert power[..., (radii <= 1 / 8) | (radii > 1 / 4)].max() < 1e-6 * power.max()
    torch.testing.assert_close(power.mean(dim=(1, 2, 3)) / 32**2, torch.full((2,), STRENGTH**2))


def test_linear_cka_is_one_for_features_that_are_turned_and_scaled(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(FOLDER)
    from frequencies import linear_cka

    noise = torch.Generator().manual_seed(0)
    features, turn = torch.randn(20, 4, generator=noise), torch.linalg.qr(torch.randn(4, 4, generator=noise))[0]
    assert linear_cka(features, 3 * features @ turn + 1) == pytest.approx(1)
    assert linear_cka(torch.eye(3)[:, :1], torch.tensor([[1.0], [1.0], [-2.0]])) == pytest.approx(0.25)


def test_scaling_takes_a_finished_run_apart_and_schedules_the_papers_study(run, tmp_path: Path):
    for seed, began in enumerate((100.0, 112.0)):
        folder = tmp_path / "discriminators" / "digits" / "resnet18" / "standard" / str(seed)
        folder.mkdir(parents=True)
        times = {"started": began, "startup": 1, "ray": 0, "work": 8, "tracking": 1, "ended": began + 10}
        (folder / "training.record.json").write_text(json.dumps({"stage": "pretrain", "times": times}))
    printed = run("scaling.py", "stages", "paper", "--run", str(tmp_path))
    check_tables(printed, "cpu", 0)
    assert "| pretrain | 2 | 1.0 | 8.0 | 0.0 | 1.0 | 20.0% |" in printed
    assert "from the end of a job to the start of the next: 2.00 s (median of 1)" in printed
    assert printed.count("| longest chain |") == 3


@pytest.mark.long
def test_the_benchmark_of_architectures_measures_a_row_once(tmp_path: Path):
    pytest.importorskip("timm")
    short = ["--iterations", "1", "--finetuning", "1", "--count", "2", "--output", tmp_path]
    command = [sys.executable, FOLDER / "architectures.py", "timm test_vit", *short]
    printed = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert "| timm test_vit |" in printed[0] and "no convolution beyond the first" in printed[0]
    assert printed[0] == printed[1]


def test_every_benchmark_is_run_here():
    programs = {path.name for path in FOLDER.glob("*.py") if "__main__" in path.read_text()}
    others = {
        "architectures.py",
        "batch_norms.py",
        "big_study.py",
        "detectors.py",
        "frequencies.py",
        "gpu.py",
        "prepare.py",
    }
    assert programs == {command.split()[0] for command in (*QUICK, *LONG)} | others
