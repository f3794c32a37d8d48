"""The templates of the report's pages, and pictures within them."""

from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).with_name("templates")
TEMPLATES = tuple(sorted(FOLDER.iterdir()))


@cache
def environment() -> Environment:
    """The templates, in which a name that is not given is an error."""
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def rendered(template: str, **values: Any) -> Markup:
    """A template filled with values, all of which are text unless they are markup already."""
    return Markup(environment().get_template(template).render(**values))


def data_uri(image: bytes, kind: str = "png") -> str:
    """An image as an address that holds it whole."""
    return f"data:image/{kind};base64,{b64encode(image).decode()}"
