"""The templates of the report's pages, and images within them."""

from base64 import b64encode
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from numpy.typing import NDArray
from PIL import Image

from fig.report.tables import html_heading

FOLDER = Path(__file__).with_name("templates")
LOSSLESS = 64  # pixels a side up to which images are shown pixel by pixel; larger ones are compressed
INCH = 110  # CSS pixels for an inch of a figure


@cache
def load_templates() -> Environment:
    """The templates, in which a name that is not given is an error."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["heading"] = lambda text: Markup(html_heading(escape(text)))
    return environment


def render(template: str, **values: object) -> Markup:
    """Fill a template with values, all of which are text unless they are markup already."""
    return Markup(load_templates().get_template(template).render(**values))


def encode_file(content: bytes, kind: str = "png") -> str:
    """An image's file as an address that holds it whole."""
    return f"data:image/{kind};base64,{b64encode(content).decode()}"


def encode_image(image: NDArray[np.uint8]) -> str:
    """An image (height, width, 3) as an address that holds it whole."""
    kind = "png" if len(image) <= LOSSLESS else "webp"
    file = BytesIO()
    Image.fromarray(image).save(file, kind, **({} if kind == "png" else {"quality": 90}))
    return encode_file(file.getvalue(), kind)


def width_of(png: bytes) -> int:
    """The width of a figure in CSS pixels at which letters are equally large in all figures."""
    image = Image.open(BytesIO(png))
    across, _ = image.info.get("dpi", (INCH, INCH))
    width: int = round(image.width * INCH / across)
    return width
