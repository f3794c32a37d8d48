"""What MkDocs does for this site: it takes files of the repository where they are, and renders equations as MathML."""

import html
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

OPENING = r"(<mo[^>]*>(?:\(|\[|=|,|&#x00028;|&#x0005B;|&#x0003D;|&#x0002C;)</mo>)"
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)")
EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def find_linked(page: Path) -> set[Path]:
    """Return the files that a Markdown page links to by relative paths."""
    return {path for link in LINK.findall(page.read_text()) if (path := (page.parent / link).resolve()).is_file()}


def list_files(root: Path) -> set[Path]:
    """Return the README, the files of docs/, and all files that their pages link to, from page to page."""
    waiting, found = {root / "README.md", *(path for path in (root / "docs").rglob("*") if path.is_file())}, set()
    while waiting:
        found |= waiting
        pages = [path for path in waiting if path.suffix == ".md"]
        waiting = {path for page in pages for path in find_linked(page) if path.is_relative_to(root)} - found
    return {path for path in found if path.suffix not in (".pyc", "") or path.name == "LICENSE"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Lay the site out as the repository is, so that a relative link means the same in both."""
    root = Path(config.config_file_path).resolve().parent
    for file in [file for file in files if file.src_dir == config.docs_dir]:
        files.remove(file)
    for path in sorted(list_files(root)):
        place = path.relative_to(root).as_posix()
        if path.suffix != ".py" or path.parent != Path(__file__).parent:
            files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def render(found: re.Match[str]) -> str:
    """Return the MathML of an equation that the extension arithmatex has marked, spaced as TeX would."""
    spaced = re.sub(r"(\\(?:log|exp)) ", r"\1\\, ", html.unescape(found[2]).strip())
    drawn = convert(spaced, display={"span": "inline", "div": "block"}[found[1]])
    drawn = re.sub(OPENING + "<mo>&#x02212;</mo>", r'\1<mo form="prefix">&#x02212;</mo>', drawn)  # a sign
    return f'<{found[1]} class="equation">{drawn}</{found[1]}>'


def on_page_content(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Render the equations of a page: a reader's browser draws MathML without a script. Keep ± with its numbers."""
    return EQUATION.sub(render, text).replace(" ± ", "\u00a0±\u00a0")
