"""Images on disk, of any form that a catalogue entry may have, as a split in memory."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fig.data.arrays import Split, open_split
from fig.data.catalogue import CENTRE, IdDataset, OodSource, Part, files_of, recipe
from fig.data.prepare import prepare
from fig.settings import Json, read_settings


def read_images(
    where: Path | str | Part | Mapping[str, Json], size: int, split: str = "train", labelled: bool = True
) -> Split:
    """Read the images of a folder, archive, table, list or array, `size` pixels a side, with their labels.

    `where` is a path, or the keys of a catalogue entry (config/README.md). The short side is resized and the middle cut
    out. Images that are not `labelled` lie in no class folders. Shows a progress bar. Raises what preparing a data set
    raises: FileNotFoundError where there is nothing, ValueError where more than 1 % of the images are unreadable.
    """
    if isinstance(where, str | Path):
        where = Part(path=str(where))
    part = read_settings(Part, where, "images")
    with TemporaryDirectory() as folder:
        found = open_split(prepare_part(part, Path(folder), size, split, "" if labelled else CENTRE))
        return Split(np.array(found.images), found.description)


def prepare_part(part: Part, folder: Path, size: int, split: str = "train", way: str = "") -> Path:
    """Prepare one's own images below `folder`, labelled or, if a `way` is named, as OOD images; the path of the split.

    `way` says how OOD images are made: a resampler, or `centre`. Raises what preparing a data set raises.
    """
    path = Path(part.path or ".").resolve()
    name = path.name.partition(".")[0] or "images"
    part = replace(part, path=str(path), labels=str(Path(part.labels).resolve()) if part.labels else "")
    made = {name: OodSource(images=part) if way else IdDataset(train=part, test=part, size=size)}
    which = f"{name}-r-{way}" if way else name
    output = folder / str(size) / which / f"{split}.npy"
    output.parent.mkdir(parents=True, exist_ok=True)
    prepare(output, [Path(file) for file in files_of(which, split, made)], recipe(which, split, size, made, own=True))
    return output
