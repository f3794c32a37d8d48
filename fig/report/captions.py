"""What stands beside a table or a picture, here and in Snakemake's own report: one text for both."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "workflow" / "report"
CAPTIONS = tuple(sorted(FOLDER.glob("*.rst")))


@dataclass(frozen=True)
class Caption:
    """A heading, and what one has to know to read what is below it."""

    title: str
    text: str


def caption_of(name: str) -> Caption:
    """The caption of a table or a picture; raises FileNotFoundError where none is written."""
    title, _, text = (FOLDER / f"{name}.rst").read_text(encoding="utf-8").partition("\n\n")
    return Caption(" ".join(title.split()).removesuffix("."), " ".join(text.split()))
