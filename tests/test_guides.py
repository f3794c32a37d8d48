"""Every guide does what it says: its code is pasted from top to bottom into a shell in a fresh clone."""

import re
from pathlib import Path

import pytest
import yaml

from support.guides import ROOT, copy_as_clone, follow, read_blocks
from support.openood import write_benchmarks
from support.workspace import SMALL_STUDY

LONG = (pytest.mark.pipeline, pytest.mark.long, pytest.mark.timeout(1800))

# The pages that a reader goes through in one clone, in this order: a later one uses what an earlier one has made. All
# need the packages of `make install`, so none runs with the lowest versions.
ROUTES = {
    "demo": (LONG, ("README.md", "docs/running.md", "docs/hub.md", "docs/mlflow.md", "docs/reruns.md")),
    "classifier": (LONG, ("docs/patching.md", "docs/export.md")),
    "study": (LONG, ("docs/own_study.md",)),
    "data": (pytest.mark.pipeline, ("docs/data.md",)),
    "commands": (pytest.mark.pipeline, ("docs/commands.md",)),
    "paper": (pytest.mark.pipeline, ("docs/reproducing.md",)),
    "openood": (pytest.mark.pipeline, ("docs/openood.md",)),
    "cluster": (pytest.mark.pipeline, ("docs/cluster.md",)),
    "extension": (LONG, ("docs/extending.md",)),
    "contribution": (pytest.mark.pipeline, ("CONTRIBUTING.md",)),
}
GUIDES = [page for _, pages in ROUTES.values() for page in pages]
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
QUICK = {  # the demo with less of everything
    "seeds": [0],
    "pretraining": {"epochs": 1},
    "finetuning": {"iterations": 5, "batch_size": 64},
    "studies": [SMALL_STUDY],
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone, whose demo has two variants of one seed."""
    folder = tmp_path / "clone"
    folder.mkdir()
    copy_as_clone(folder)
    demo = folder / "config/demo.yaml"
    demo.write_text(yaml.safe_dump(yaml.safe_load(demo.read_text()) | QUICK, sort_keys=False))
    return folder


def places_of(route: str, folder: Path) -> dict[str, str]:
    """What the pages leave to their reader, made in `folder`, or what would take long: with what takes its place."""
    match route:
        case "demo":
            return {"--iterations 100": "--iterations 5"}
        case "openood":
            write_benchmarks(folder / "OpenOOD/data", train=2, test=2)
            return {"/path/to/OpenOOD": str(folder / "OpenOOD")}
        case "paper":
            for path in ("ILSVRC/train", "miniimagenet"):
                (folder / path).mkdir(parents=True)
            return {"/data/ILSVRC": str(folder / "ILSVRC"), "/data/miniimagenet": str(folder / "miniimagenet")}
    return {}


@pytest.mark.parametrize("route", [pytest.param(name, marks=marks) for name, (marks, _) in ROUTES.items()])
def test_the_code_of_a_guide_runs_from_top_to_bottom_in_a_fresh_clone(route: str, clone: Path, tmp_path: Path):
    pages = ROUTES[route][1]
    printed = follow(pages, clone, places_of(route, tmp_path))
    assert [page for page in pages if f"# {page}:" not in printed] == []


def test_every_page_with_code_is_a_guide_of_one_route():
    assert sorted(GUIDES) == sorted(
        page for page in PAGES if any(block.runs or block.reason for block in read_blocks(ROOT / page))
    )


@pytest.mark.parametrize("page", GUIDES)
def test_a_guide_states_why_some_of_its_code_is_not_run_and_the_rest_is(page: str):
    found, text = read_blocks(ROOT / page), (ROOT / page).read_text()
    reasons = [block.reason for block in found if block.reason]
    assert len(reasons) == len(re.findall("^ *<!-- not run", text, re.MULTILINE)) and all(
        len(reason.split()) > 2 for reason in reasons
    )
    assert len(found) == len(re.findall(r"^ *```\w", text, re.MULTILINE)) and any(block.runs for block in found)
