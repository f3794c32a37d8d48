"""What stands beside a table or a picture, here and in Snakemake's own report: one text for both."""

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Template

FOLDER = Path(__file__).parents[2] / "workflow" / "report"
FIGURES = tuple(f"fig{number}" for number in range(1, 6))
CAPTIONS = tuple(sorted(FOLDER.glob("*.rst")))


@dataclass(frozen=True)
class Caption:
    """A heading, and what one has to know to read what is below it."""

    title: str
    text: str


def caption_of(name: str) -> Caption:
    """The caption of a table or a picture; raises FileNotFoundError where none is written.

    Those of the paper's figures share a file, for one rule of the workflow makes them all.
    """
    file = "picture" if name in FIGURES else name
    template = Template((FOLDER / f"{file}.rst").read_text(encoding="utf-8"))
    text = template.render(snakemake={"wildcards": {"picture": name}}).strip()
    title, _, rest = text.partition("\n\n")
    return Caption(" ".join(title.split()).removesuffix("."), " ".join(rest.split()))
