"""The documentation site: built strictly, complete, and in need of nothing from elsewhere."""

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not find_spec("mkdocs"), reason="mkdocs is not installed with this Python"),
]

ROOT = Path(__file__).parents[1]
NAVIGATED = re.findall(r"^ +- (?:[^:\n]+: )?(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href", "object": "data"}
NOT_FETCHED = {"canonical", "prev", "next"}  # links of a page's head that name pages


class Reader(HTMLParser):
    """What a browser fetches for a page by itself, and the elements of the page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.elements: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        found = dict(attributes)
        address = found.get(FETCHED.get(tag, ""))
        if address and found.get("rel") not in NOT_FETCHED:
            self.fetched.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(built)]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    assert not done.returncode, done.stdout + done.stderr
    return built


def list_pages(site: Path) -> Iterator[Path]:
    return site.rglob("*.html")


def place_of(page: str) -> str:
    """Where a Markdown file of the repository is on the site."""
    return re.sub(r"\.md$", ".html", page.replace("README.md", "index.md"))


def test_every_page_of_the_navigation_exists(site: Path):
    assert len(NAVIGATED) > 20
    assert [page for page in NAVIGATED if not (site / place_of(page)).is_file()] == []


def test_every_page_of_docs_is_in_the_navigation():
    pages = [
        path.relative_to(ROOT).as_posix() for place in ("docs", "docs/results") for path in (ROOT / place).glob("*.md")
    ]
    assert set(pages) <= {*NAVIGATED}


def test_no_page_fetches_anything_from_elsewhere(site: Path):
    fetched = {(page, address) for page in list_pages(site) for address in Reader(page).fetched}
    assert len({page for page, _ in fetched}) > 25
    assert [address for _, address in fetched if re.match(r"(?:\w+:)?//", address)] == []
    local = {(page, re.split("[?#]", address)[0]) for page, address in fetched if not address.startswith("data:")}
    missing = [
        (page.name, each) for page, each in local if page.name != "404.html" and not (page.parent / each).exists()
    ]
    assert missing == []  # styles and scripts are there


def test_no_style_fetches_anything_from_elsewhere(site: Path):
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert len(styles) > 10_000 and not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", styles)


def test_equations_are_rendered(site: Path):
    written = (ROOT / "docs/concepts.md").read_text()
    displayed = len(re.findall(r"^\$\$.+\$\$$", written, re.MULTILINE))
    within = len(re.findall(r"\$[^$\n]+\$", re.sub(r"\$\$.+\$\$", "", written)))
    page = site / "docs/concepts.html"
    assert displayed >= 5 and Reader(page).elements.count("math") == displayed + within
    assert not [each.name for each in list_pages(site) if "arithmatex" in each.read_text()]


@pytest.mark.parametrize("name", ["fig.patch", "fig.probe", "fig.sample", "fig.detect", "fig.energy.energy"])
def test_the_reference_has_what_users_call(site: Path, name: str):
    assert f'id="{name}"' in (site / "docs/api.html").read_text()


def test_the_reference_describes_fields_by_the_comments_after_them(site: Path):
    assert re.search(
        r"class Samples.*images: Tensor  # \(n, channels", (ROOT / "fig/sampler.py").read_text(), re.DOTALL
    )
    assert re.search(r'id="fig.Samples.images".{0,2000}\(n, channels', (site / "docs/api.html").read_text(), re.DOTALL)
