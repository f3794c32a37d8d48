"""The power fails at every step of every file that lasts: under its name is what was there, or the whole new file."""

import ast
from contextlib import suppress
from pathlib import Path

import pytest

from fig.checkpoint import FILES
from fig.files import PARTIAL
from support.power import PowerCutError, watched
from support.writers import WRITERS, clock, contents, publisher  # noqa: F401  fixtures of this module

ROOT = Path(__file__).parents[1]
by_writer = pytest.mark.parametrize("name", WRITERS)


@by_writer
def test_a_file_is_flushed_before_it_gets_its_name_and_the_name_thereafter(name: str, tmp_path: Path):
    write, _ = WRITERS[name]
    write(tmp_path / "set", 1)
    with watched(tmp_path / "set") as disk:
        write(tmp_path / "set", 2)
    moved = [index for index, (what, _, _) in enumerate(disk.steps) if what == "replace"]
    for index in moved:
        _, source, target = disk.steps[index]
        assert PARTIAL in f"{source.relative_to(target.parent)}" or source.name in FILES, "not from its own folder"
        assert ("flush", source, source) in disk.steps[:index]
        assert disk.steps[index + 1] == ("flush", target.parent, target.parent)
    assert moved


@by_writer
@pytest.mark.parametrize("keeps_names", [True, False], ids=["names kept", "names lost"])
def test_whenever_the_power_fails_the_old_or_the_whole_new_file_is_there_and_the_next_run_cleans_up(
    name: str, keeps_names: bool, tmp_path: Path
):
    write, names = WRITERS[name]
    whole = tmp_path / "whole" / "set"
    write(whole, 1)
    before = contents(whole, names)
    with watched(whole) as undisturbed:
        write(whole, 2)
    after = contents(whole, names)
    assert before != after
    steps = [*undisturbed.steps, "the end"]
    for cut, step in enumerate(steps):
        folder = tmp_path / f"{cut}" / "set"
        write(folder, 1)
        with watched(folder, cut) as disk, suppress(PowerCutError):
            write(folder, 2)
        disk.lose(keeps_names)
        for found, old, new in zip(contents(folder, names), before, after, strict=True):
            assert found in (old, new), f"cut at {step}"
        if name == "discriminator":
            assert contents(folder, names) != [before[0], after[1]], "the card is of weights that are not there"
        assert step != "the end" or contents(folder, names) == after, "what was written is lost again"
        write(folder, 2)
        assert contents(folder, names) == after
        assert not [path for path in folder.iterdir() if path.name.startswith(PARTIAL)]


def test_no_other_function_gives_files_their_names():
    for path in ROOT.glob("fig/**/*.py"):
        tables = "report" in path.parts  # a table has a method `replace` of one argument, too
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner, name = ast.unparse(node.func.value), node.func.attr
                of_a_path = len(node.args) == 1 and not node.keywords and not tables
                moves = name in ("rename", "replace", "move") and (of_a_path or owner in ("os", "shutil"))
                lasts = path.name != "scratch.py"  # whose folders go with their processes
                assert not (moves and lasts) or path == ROOT / "fig" / "files.py", f"{path}:{node.lineno}"
