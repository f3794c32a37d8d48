"""The words and names that `make check` refuses, how their counts fall, and how long the tests may take."""

import subprocess
import sys
from pathlib import Path

import pytest

import words

SETTINGS = '[tool.words]\n"a.md" = 3\n"b.md" = 2\n"gone.md" = 1\n\n[tool.other]\n"a.md" = 9\n'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A wrong key is told in a sentence.", ["told"]),
        ("Run it anew:\nit goes on\nwhere there is none.", ["anew", "goes on", "where there is none"]),
        ("A card stands Beside it, for it is small.", ["stands", "Beside", "for it"]),
        ("Images that are none of yours", ["none of yours"]),
        ("A key that everybody shall have, whatever it is", ["shall", "whatever"]),
        ("FPR stands for false positive rate; it is good for it, and gives None.", []),
        ("Run `fig plan anew` as `test_what_is_told_anew` does.", []),
        ("A killed job resumes from its last checkpoint.", []),
    ],
)
def test_tell_tale_words_are_found_in_prose_and_not_in_code(text: str, found: list[str]):
    assert [word for _, word, _ in words.find_words(text)] == found


def test_a_functions_name_is_a_verb_and_a_propertys_may_be_a_participle():
    code = "def drawn(): ...\ndef draw(): ...\ndef _cleaned(): ...\ndef load_merged(): ...\nclass A:\n"
    code += "    @property\n    def scaled(self): ...\n    @cached_property\n    def read(self): ...\n"
    code += "    def told(self): ..."
    assert [(line, name) for line, name, _ in words.find_names(code)] == [(1, "drawn"), (3, "_cleaned"), (10, "told")]


def test_docstrings_comments_and_messages_are_read_and_identifiers_are_not(tmp_path: Path):
    path = tmp_path / "a.py"
    path.write_text('"""First.\n\nMade anew."""\ntold = anew(1)  # beside it\nerror(f"{told} goes on")\n')
    assert [(line, word) for line, word, _ in words.find_in(path)] == [(3, "anew"), (4, "beside"), (5, "goes on")]


def test_a_file_beyond_its_count_gets_a_sentence_for_each_word_with_its_place_and_what_to_write():
    found = list(words.find_words("all\nmade anew"))
    assert words.complain("docs/a.md", found, allowed=1) == []
    (sentence,) = words.complain("docs/a.md", found, allowed=0)
    assert sentence == (
        'docs/a.md:2: instead of "anew", write "again", or a verb with re-, such as "rebuilds" '
        "(docs/a.md has 1 such word and may have 0)."
    )


def test_counts_only_fall():
    fallen = words.lower(SETTINGS, {"a.md": 1, "b.md": 5})
    assert fallen == '[tool.words]\n"a.md" = 1\n"b.md" = 2\n\n[tool.other]\n"a.md" = 9\n'
    assert words.lower(fallen, {"a.md": 1, "b.md": 2}) == fallen


@pytest.mark.slow
@pytest.mark.parametrize(("minutes", "said"), [("0", "1 skipped"), ("60", "1 passed")])
def test_no_long_test_begins_after_the_minutes_that_tests_may_take(minutes: str, said: str, tmp_path: Path):
    test = "import pytest\n\n@pytest.mark.long\ndef test_nothing():\n    pass\n"
    (tmp_path / "test_nothing.py").write_text(test)
    (tmp_path / "conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {Path(__file__).parent}\nmarkers = long\n")
    command = [sys.executable, "-m", "pytest", "--minutes", minutes, "--rootdir", tmp_path, tmp_path]
    done = subprocess.run([*map(str, command)], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said in done.stdout
