"""The page on reliability names tests that there are, and marks those that `make test` leaves out."""

import ast
import re

import pytest

from support.workspace import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and re.search(r"::\w+` \|$", line)]
NAMED = [(*re.search(r"`([\w/]+\.py)::(\w+)` \|$", row).groups(), "(*all*)" in row) for row in ROWS]


def is_long(marks: list[ast.expr]) -> bool:
    """Whether `long` is among a function's decorators or what a module's pytestmark lists; a single case's are not."""
    return any("pytest.mark.long" in map(ast.unparse, getattr(mark, "elts", [mark])) for mark in marks)


@pytest.mark.parametrize(("file", "test", "left_out"), NAMED, ids=[test for _, test, _ in NAMED])
def test_a_test_that_the_page_names_is_there_and_marked_when_make_test_leaves_it_out(
    file: str, test: str, left_out: bool
):
    module = ast.parse((ROOT / "tests" / file).read_text())
    functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    assert test in functions
    marks = [node.value for node in module.body if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node)]
    assert left_out == is_long(marks + functions[test].decorator_list)


def test_every_row_of_the_page_names_a_test():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.endswith("| test |")]
    assert rows == ROWS and rows
