"""Count the words and names that make FIG's English hard to read. `make check` fails when a file has more than it may.

It looks at documents and configurations, and at the docstrings, comments, messages and function names of the code.
`[tool.words]` of pyproject.toml holds the count of each file that still has some; other files may have none.
Counts only fall: `python tests/words.py --lower` writes the present counts where they are lower.
"""

import ast
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACES = ("*.md", "Makefile", "Snakefile", "docs/*.md", "docs/results/*.md", "config/*", "examples/*", "envs/*")
PLACES += ("fig/**/*.py", "fig/**/*.yaml", "benchmarks/*.py", "workflow/**/*.smk", "profiles/[dls]*/*.yaml")
LEFT_OUT = {"CHANGELOG.md", "profiles/default/config.yaml"}  # history, and a site's own

WORDS = {
    r"told": '"reported", "named" or "distinguished"',
    r"besides?": '"next to", "with" or "in addition to"',
    r"anew": '"again", or a verb with re-, such as "rebuilds"',
    r"(?:go|goes|going|gone|went) on": '"continues" or "resumes"',
    r"stands(?! for)": '"is", "is written" or "depends on"',
    r"none of (?:its|mine|ours|theirs|yours|yourself)": "what it is: out-of-distribution, of another class",
    r"(?:if|when|where) there (?:is|are) none": '"if there is no …", or the result: NaN, empty',
    r"(?:is|are|was|were) none(?! of)": '"is not a …", "is missing" or "there is no …"',
    r"be had": '"is available" or "exists"',
    r"would have had": '"the same" or "identical"',
    r"shall": '"must", "should" or "will"',
    r"what(?:so)?ever|who(?:so)?ever|whomever": '"any", "everything that" or "who"',
    r"(?:of )?one's own": '"your own"',
    r"thereafter|whereupon|whereby|thereby|hitherto": '"then"',
    r"(?<=, )for (?:he|it|they|there)": '"because"',
}
TELL_TALES = re.compile("|".join(rf"(\b(?:{word})\b)" for word in WORDS), re.IGNORECASE)
WORDED = "bound|built|chosen|done|drawn|found|given|grown|held|kept|known|left|made|met|paid|read|said|seen|sent|set"
WORDED += "|shown|split|spread|stated|sworn|taken|told|understood|written"
PARTICIPLE = re.compile(rf"_?(?:[a-z]+ed|{WORDED})")
Finding = tuple[int, str, str]  # line, what is there, what to write instead


def find_words(text: str, first: int = 1) -> Iterator[Finding]:
    """Find the tell-tale words of `text`, which begins at line `first` of its file, outside of `code`."""
    prose = re.sub(r"`[^`\n]+`", lambda code: " " * len(code[0]), text)
    for found in TELL_TALES.finditer(prose):
        advice = list(WORDS.values())[found.lastindex - 1]  # type: ignore[operator]
        yield first + prose.count("\n", 0, found.start()), found[0], advice


def find_names(code: str) -> Iterator[Finding]:
    """Find the functions of Python code that a bare participle names; a property may have such a name."""
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.FunctionDef) or not PARTICIPLE.fullmatch(node.name):
            continue
        if not any("property" in ast.unparse(each) for each in node.decorator_list):
            yield node.lineno, node.name, "a verb, as in merge_configs or load_card"


def without_values(token: tokenize.TokenInfo) -> tuple[str, int]:
    """Return the text of a comment or string and its first line, with the values of an f-string left out."""
    formatted = re.match("[a-z]*f", token.string, re.IGNORECASE)  # before Python 3.12 an f-string is one token
    return re.sub(r"{[^{}\n]*}", "", token.string) if formatted else token.string, token.start[0]


def find_in(path: Path) -> list[Finding]:
    """Find the words of a document, or the words and names of Python code: in docstrings, comments and messages."""
    text = path.read_text()
    if path.suffix not in (".py", ".smk"):
        return list(find_words(text))
    lines = iter(text.splitlines(keepends=True))
    prose = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    tokens = tokenize.generate_tokens(lambda: next(lines, ""))
    words = [each for token in tokens if token.type in prose for each in find_words(*without_values(token))]
    return words + (list(find_names(text)) if path.suffix == ".py" else [])


def complain(name: str, found: list[Finding], allowed: int) -> list[str]:
    """Return a sentence for each word of a file that has more of them than it may."""
    counts = f"{name} has {len(found)} such {'words' if len(found) > 1 else 'word'} and may have {allowed}"
    return [
        f'{name}:{line}: instead of "{word}", write {advice} ({counts}).'
        for line, word, advice in found
        if len(found) > allowed
    ]


def lower(settings: str, counts: dict[str, int]) -> str:
    """Return the text of pyproject.toml with the counts that have fallen; a file without such words loses its line."""

    def lower_line(line: re.Match[str]) -> str:
        count = min(int(line[2]), counts.get(line[1], 0))
        return f'"{line[1]}" = {count}\n' if count else ""

    head, heading, rest = settings.partition("[tool.words]\n")
    table, gap, tail = rest.partition("\n\n")
    return head + heading + re.sub(r'"(.+)" = (\d+)\n', lower_line, table + "\n").rstrip("\n") + gap + tail


def main() -> None:
    """Check every file, or lower the counts."""
    project = ROOT / "pyproject.toml"
    allowed = tomllib.loads(project.read_text())["tool"]["words"]
    paths = {str(path.relative_to(ROOT)): path for place in PLACES for path in ROOT.glob(place) if path.is_file()}
    found = {name: find_in(path) for name, path in sorted(paths.items()) if name not in LEFT_OUT}
    if "--lower" in sys.argv:
        project.write_text(lower(project.read_text(), {name: len(each) for name, each in found.items()}))
    sentences = [line for name, each in found.items() for line in complain(name, each, allowed.get(name, 0))]
    sys.exit("\n".join(sentences) or None)


if __name__ == "__main__":
    main()
