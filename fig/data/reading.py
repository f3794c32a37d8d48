"""Images on disk, of any form that a catalogue entry may have, as a split in memory."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fig.data.arrays import Split, open_split
from fig.data.catalogue import IdDataset, OodSource, Part, files_of, recipe
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
    path = Path(part.path or ".").resolve()
    name = path.name.partition(".")[0] or "images"
    part = replace(part, path=str(path), labels=str(Path(part.labels).resolve()) if part.labels else "")
    made = {name: IdDataset(train=part, test=part, size=size) if labelled else OodSource(images=part)}
    which = name if labelled else f"{name}-r-centre"
    with TemporaryDirectory() as folder:
        output = Path(folder) / which / f"{split}.npy"
        output.parent.mkdir()
        files = [Path(file) for file in files_of(which, split, made)]
        prepare(output, files, recipe(which, split, size, made, own=True))
        found = open_split(output)
        return Split(np.array(found.images), found.description)
