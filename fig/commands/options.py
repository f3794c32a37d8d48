"""The arguments that commands share; an option with one name has one type and one meaning."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from cyclopts.validators import Path as Exists

if TYPE_CHECKING:
    from fig.settings import Json

Folder = Annotated[
    Path,
    Parameter(
        validator=Exists(exists=True, file_okay=False),
        help="A discriminator's folder, results/<run>/discriminators/<data>/<network>/<variant>/<seed>.",
    ),
]
TrustFactory = Annotated[
    bool,
    Parameter(
        help="Run the factory that the folder names, which is code; folders below results/ are trusted.",
        negative=(),
        show_default=False,
    ),
]
ConfigFile = Annotated[
    Path,
    Parameter(
        validator=Exists(exists=True, dir_okay=False),
        help="The study's configuration; of several files later ones take precedence.",
    ),
]
Seed = Annotated[int, Parameter(validator=Number(gte=0), help="Seed of every random draw.")]
Count = Annotated[int, Parameter(validator=Number(gte=1))]
Acceptance = Annotated[
    float, Parameter(validator=Number(gt=0, lte=1), help="Share of the ID images that the threshold accepts.")
]
Batch = Annotated[int, Parameter(validator=Number(gte=1), help="Chains at once; fewer if memory does not suffice.")]
Settings = Annotated[
    str,
    Parameter(help="Settings of the sampler, as JSON; the paper's by default; see fig.sampler in config/README.md."),
]


def check_folders(discriminators: Sequence[Path], command: str) -> None:
    """Raise ValueError if a command that takes several discriminators got no folder."""
    if not discriminators:
        raise ValueError(f"fig {command} needs the folder of at least one discriminator")


def is_trusted(folder: Path, trust_factory: bool) -> bool:
    """Whether a folder's factory may run: it was allowed, or the folder is of a study of this working directory."""
    return trust_factory or folder.resolve().is_relative_to(Path("results").resolve())


def prepare_images(images: Path, folder: Path, size: int, labelled: bool = True) -> Path:
    """A split of a folder or archive of images, in class folders if `labelled`, prepared below `folder`.

    A prepared split is taken as it is.
    """
    from fig.data.catalogue import Part
    from fig.data.prepare import prepare
    from fig.data.reading import find_images

    if images.suffix == ".npy" and images.with_suffix(".json").exists():
        return images
    if labelled and images.suffix == ".npy":
        raise ValueError(
            f"{images} is an array without labels, and no {images.with_suffix('.json').name} that prepare writes is "
            "there: give class folders, an .npz of images and labels, or a prepared split"
        )
    split, way = ("train", "") if labelled else ("test", "antialias")
    name, files, recipe = find_images(Part(path=str(images)), size, split, way)
    output = folder / str(size) / name / f"{split}.npy"
    prepare(output, files, recipe)
    return output


def parse_json(text: str, option: str) -> "dict[str, Json]":
    """Parse the JSON object in an option's text; raises ValueError naming the option if it is anything else."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{option} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{option} must be a JSON object, not {text}")
    return value
