"""The page on reliability names tests that there are."""

import ast
import re

import pytest

from support.workspace import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text()
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)


@pytest.mark.parametrize(("file", "test"), NAMED, ids=[test for _, test in NAMED])
def test_a_test_that_the_page_names_is_there(file: str, test: str):
    module = ast.parse((ROOT / "tests" / file).read_text())
    assert test in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


def test_every_row_of_the_page_names_a_test():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.endswith("| test |")]
    assert rows and all(re.search(r"::\w+` \|$", row) for row in rows)
