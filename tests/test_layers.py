"""The mathematics and the parts need no pipeline, and the code says what it is about.

Which module may import which is stated as contracts in pyproject.toml, which `make lint` checks.
"""

import ast
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

from fig.extras import EXTRAS

ROOT = Path(__file__).parents[1]
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.glob("fig/**/*.py")}
NEEDS_THE_PIPELINE = ("fig.commands", "fig.runtime", "fig.stages", "fig.report", "fig.__main__")


@pytest.mark.slow
def test_the_mathematics_and_the_parts_run_where_no_pipeline_is_installed():
    modules = sorted(name.removesuffix(".__init__") for name in MODULES if not name.startswith(NEEDS_THE_PIPELINE))
    code = f"""
import importlib, sys
for name in {list(EXTRAS)}:
    sys.modules[name] = None  # importing it raises ImportError
for name in {modules}:
    importlib.import_module(name)
import torch
from fig.networks.building import build
from fig.sampler import sample
from fig.settings import SamplerSettings
samples = sample(build("resnet18", 10, 32, 0.125), 3, (3, 32, 32), SamplerSettings(), torch.Generator().manual_seed(0))
assert samples.images.shape == (3, 3, 32, 32)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_missing_library_is_explained_by_the_extra_that_brings_it():
    code = """
import sys
sys.modules["timm"] = None  # importing it raises ModuleNotFoundError
from fig.networks.building import made_by
made_by("timm:create_model", {})
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "timm is not installed: pip install 'fig-ood[models]' brings it" in done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_its_subject_documents_what_is_public_and_stays_short(module: str):
    text = MODULES[module].read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree) and text.count("\n") <= 400
    public = [*tree.body, *(item for node in tree.body if isinstance(node, ast.ClassDef) for item in node.body)]
    for node in public:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node) or node.name == "forward", node.name


def drawn(kind: str) -> list[str]:
    """The names in the boxes of one kind, from top to bottom, in the drawing of the architecture page."""
    drawing = (ROOT / "docs/images/architecture.svg").read_text()
    return list(chain(*(box.split(", ") for box in re.findall(rf'class="{kind}">([^<]+)<', drawing))))


def test_the_drawing_of_the_architecture_shows_every_layer_of_the_contract_in_its_order():
    (stated,) = [
        contract["layers"]
        for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    ]
    depths = {name.removeprefix("fig."): depth for depth, row in enumerate(stated) for name in row.split(" : ")}
    found = [
        depths[name.removeprefix("fig/")] for name in drawn("layer") if name not in ("Snakefile", "workflow/rules")
    ]
    assert set(found) == set(range(len(stated))) and found == sorted(found)


def test_the_drawing_of_the_architecture_shows_every_rule():
    rules = re.compile(r"^(?:rule|use rule \w+ as) (\w+)", re.MULTILINE)
    stated = chain(*(rules.findall(path.read_text()) for path in ROOT.glob("workflow/rules/*.smk")))
    assert sorted(drawn("rules")) == sorted([*stated, "targets"])
