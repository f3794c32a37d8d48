"""What is installed: the lock names all of it by hash; its list, licences and vulnerabilities are a command away."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BIN = Path(sys.executable).parent
# A requirement and what follows it up to the next one: `name==version ; marker \` and its hashes.
LOCKED = [
    (Requirement(block.partition("\\\n")[0]), re.findall(r"--hash=sha256:([0-9a-f]{64})(?= |$)", block, re.MULTILINE))
    for block in re.split(r"\n(?=\S)", LOCK)
    if not block.startswith("#")
]


def list_wanted() -> list[Requirement]:
    """All that pyproject.toml asks for: the package, its extras and its groups."""
    stated = [*PROJECT["project"]["dependencies"]]
    for group in (*PROJECT["project"]["optional-dependencies"].values(), *PROJECT["dependency-groups"].values()):
        stated += [each for each in group if isinstance(each, str)]
    return [Requirement(each) for each in stated]


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository, with what is installed with this interpreter first."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS")}
    path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        [*map(str, command)], cwd=ROOT, env=inherited | path | environment, text=True, capture_output=True, check=False
    )


def test_the_lock_fixes_every_package_by_one_version_and_by_hashes():
    assert len(LOCKED) > 200
    for requirement, hashes in LOCKED:
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert hashes and len(set(hashes)) == len(hashes), requirement


def test_the_lock_names_no_place_to_fetch_from():
    lines = [line for line in LOCK.splitlines() if not line.startswith("#")]
    assert "://" not in LOCK and not [requirement for requirement, _ in LOCKED if requirement.url]
    assert not [line for line in lines if line.startswith("-")]  # no --index-url, --find-links or -e


@pytest.mark.parametrize("wanted", list_wanted(), ids=str)
def test_the_lock_has_what_the_project_asks_for(wanted: Requirement):
    found = [each for each, _ in LOCKED if canonicalize_name(each.name) == canonicalize_name(wanted.name)]
    assert found, f"{wanted} is not locked: make lock"
    versions = [next(iter(each.specifier)).version for each in found]
    assert all(wanted.specifier.contains(version, prereleases=True) for version in versions), f"{wanted}: make lock"


def test_nothing_that_is_installed_slows_the_start_of_each_process_of_ray_by_a_second():
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    done = run(sys.executable, "-c", "import sys, ray; print(sorted({'lark', 'rfc3987_syntax'} & set(sys.modules)))")
    assert done.stdout == "[]\n", done.stdout + done.stderr


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make sbom` writes."""
    if not (BIN / "cyclonedx-py").exists():
        pytest.skip("cyclonedx-bom is not installed with this Python")
    target: Path = tmp_path_factory.mktemp("sbom") / "sbom.json"
    recipe = re.search(r"^\t(cyclonedx-py .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    done = run(*recipe.replace("sbom.cdx.json $(BIN)/python", f"{target} {sys.executable}").split())
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.slow
def test_the_list_of_what_is_installed_is_valid_whole_and_of_no_machine(inventory: Path):
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    text = inventory.read_text()
    found = json.loads(text)
    version = schema.SchemaVersion.from_version(found["specVersion"])
    assert validation.JsonStrictValidator(version).validate_str(text) is None
    listed = {canonicalize_name(each["name"]) for each in found["components"]}
    here = {canonicalize_name(each.name) for each in distributions()} - {"fig-ood"}
    assert here <= listed and found["metadata"]["component"]["name"] == "fig-ood"
    assert str(ROOT) not in text and "file:" not in text


@pytest.mark.slow
def test_an_unknown_licence_and_strong_copyleft_are_refused_and_there_is_none():
    if not (BIN / "pip-licenses").exists():
        pytest.skip("pip-licenses is not installed with this Python")
    done = run("pip-licenses", "--format=csv")
    assert done.returncode == 0 and done.stdout.count("\n") > 200, done.stderr
    for excused, said in (("docutils", "GPL"), ("huey", "UNKNOWN")):
        others = [each for each in PROJECT["tool"]["pip-licenses"]["ignore-packages"] if each != excused]
        done = run("pip-licenses", "--ignore-packages", *others)
        assert done.returncode and said in done.stderr and excused in done.stderr


@pytest.mark.slow
def test_without_the_internet_the_audit_says_so_in_a_sentence_and_fails():
    if not (BIN / "pip-audit").exists():
        pytest.skip("pip-audit is not installed with this Python")
    nowhere = "http://127.0.0.1:9"
    done = run("make", "--silent", "--old-file=install", "audit", HTTPS_PROXY=nowhere, https_proxy=nowhere)
    said, failed = done.stderr.splitlines()
    assert done.returncode and not done.stdout and failed.startswith("make: ***")
    assert said == "make audit: not every package could be asked for: this needs the internet"
