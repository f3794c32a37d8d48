"""Every example runs from another folder, draws its picture, and prints that confidence on own samples fell."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import matplotlib  # noqa: F401  examples need the extras: without them this module is left out
import numpy as np
import onnxruntime  # noqa: F401
import pytest
import timm  # noqa: F401
from PIL import Image

from support.processes import free_port, run_server

ROOT = Path(__file__).parents[1]
ELSEWHERE = ("MLFLOW_TRACKING_URI", "RAY_ADDRESS")  # servers of ours


def run(name: str, folder: Path, *arguments: str) -> str:
    """What an example prints, run in a folder with `--out made`; it ends with status 0."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / name, "--out", "made", *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in ELSEWHERE} | {"PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def confidences(printed: str) -> tuple[float, float]:
    """Confidence on own samples before and after, as printed."""
    return tuple(float(re.search(rf"{name}: confidence (\d\.\d+)", printed)[1]) for name in ("before", "after"))


def check_picture(printed: str, folder: Path) -> None:
    """The picture whose path is printed is there, of some size, and shows something."""
    picture = np.asarray(Image.open(folder / re.search(r"picture: (.+)", printed)[1]).convert("L"))
    assert min(picture.shape) >= 200 and picture.std() > 10


@pytest.mark.slow
def test_a_timm_model_is_patched_on_a_folder_and_loses_confidence_but_hardly_accuracy(tmp_path: Path):
    printed = run("patch_a_timm_model.py", tmp_path)
    before, after = confidences(printed)
    assert before > 0.9 and after < 0.4
    sure, unsure = map(float, re.findall(r"accuracy (\d\.\d+)", printed))
    assert sure > 0.95 and unsure > sure - 0.05
    assert (tmp_path / "made/patched.pt").exists()
    check_picture(printed, tmp_path)


@pytest.mark.slow
def test_three_detectors_are_compared_before_and_after(tmp_path: Path):
    printed = run("compare_detectors.py", tmp_path)
    before, after = confidences(printed)
    assert before > 0.9 and after < 0.4
    found = re.findall(r"^(\w+) +(before|after) +AUROC (\d\.\d+)", printed, re.MULTILINE)
    assert [row[:2] for row in found] == [
        (name, when) for name in ("energy", "mahalanobis", "gram") for when in ("before", "after")
    ]
    assert all(float(auroc) > 0.5 for *_, auroc in found)
    check_picture(printed, tmp_path)


@pytest.mark.pipeline
def test_a_row_is_reproduced_next_to_the_paper_s(tmp_path: Path):
    printed = run("reproduce_a_row.py", tmp_path)
    first, last = map(float, re.search(r"samples: (\S+) at first, (\S+) in the end", printed).groups())
    assert first > 0.9 and last < 0.7
    rows = {name: (float(standard), float(fig), how) for name, standard, fig, how in ROW.findall(printed)}
    assert rows["CIFAR10"] == (91.2, 95.0, "printed") and rows["digits"][2] == "measured"
    check_picture(printed, tmp_path)


ROW = re.compile(r"^(\w+) +(\d+\.\d) +(\d+\.\d) +(measured|printed)$", re.MULTILINE)


@pytest.mark.slow
def test_a_patched_classifier_answers_over_http(tmp_path: Path):
    printed = run("serve.py", tmp_path)
    before, after = confidences(printed)
    assert before > 0.9 and after < 0.4
    assert re.search(r"^digit: class 0, score \S+, accepted$", printed, re.MULTILINE)
    assert re.search(r"^photograph: class \d, score \S+, rejected$", printed, re.MULTILINE)
    assert "status 400: image 0 is not base64" in printed
    check_picture(printed, tmp_path)

    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, ROOT / "examples/serve.py", "--out", "made", "--port", str(port)]
    with run_server(command, address, tmp_path, PYTHONPATH=str(ROOT)):
        with pytest.raises(HTTPError) as refused:
            urlopen(address, b"[]")
        assert refused.value.code == 400 and "no JSON object" in json.load(refused.value)["error"]


def test_every_example_is_in_the_table_and_in_cells():
    scripts = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
    table = (ROOT / "examples/README.md").read_text()
    assert sorted(re.findall(r"^\| \[(\w+\.py)\]", table, re.MULTILINE)) == scripts
    for name in scripts:
        assert (ROOT / "examples" / name).read_text().count("\n# %% ") >= 3
