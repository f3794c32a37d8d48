"""Read images on disk, in any form that a catalogue entry may have, as a split: in memory or in a permanent file."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fig.data.arrays import Split, open_split
from fig.data.catalogue import CENTRE, IdDataset, OodSource, Part, Recipe, files_of, recipe
from fig.data.prepare import prepare
from fig.settings import Json, read_settings


def read_images(
    where: Path | str | Part | Mapping[str, Json],
    size: int,
    split: str = "train",
    labelled: bool = True,
    *,
    train: Split | None = None,
    keep: Path | str | None = None,
    workers: int = 1,
    progress: bool = True,
) -> Split:
    """Read the images of a folder, archive, table, list, array or saved data set, `size` pixels a side.

    `where` is a path, or the keys of a catalogue entry (config/README.md); `split` selects the split of a Hugging Face
    data set. The short side is resized and the centre cropped. Images that are not `labelled` need no labels and no
    class folders. The labels of test images follow the classes of their `train` split, which must not hold any of
    them. The split is in memory or, with a path `keep` (.npy, next to a .json file), in that file, from which images
    are read when needed. `workers` processes decode. Oddities are logged, as in the rule `prepare`.

    Raises FileNotFoundError if nothing is there, ValueError if more than 1 % of the images are unreadable or labels are
    missing or unknown.
    """
    part = Part(path=str(where)) if isinstance(where, str | Path) else read_settings(Part, where, "images")
    name, files, made = find_images(part, size, split, "" if labelled else CENTRE)
    known = train.description if train else None
    if keep:
        kept = Path(keep).with_suffix(".npy")
        prepare(kept, files, made, train=known, workers=workers, progress=progress)
        return open_split(kept)
    with TemporaryDirectory() as folder:
        output = Path(folder) / name / f"{split}.npy"
        prepare(output, files, made, train=known, workers=workers, progress=progress)
        found = open_split(output)
        return Split(np.array(found.images), found.description)


def find_images(part: Part, size: int, split: str = "train", way: str = "") -> tuple[str, list[Path], Recipe]:
    """Return the name, files and recipe of a data set of your own: labelled or, with a `way`, OOD.

    `way` is how OOD images are made: a resampler, or `centre`.
    """
    path, labels = (str(Path(place).resolve()) if place else "" for place in (part.path, part.labels))
    part = replace(part, path=path, labels=labels)
    name = Path(path or labels).name.partition(".")[0] or "images"
    datasets = {name: OodSource(images=part) if way else IdDataset(train=part, test=part, size=size)}
    which = f"{name}-r-{way}" if way else name
    files = [Path(file) for file in files_of(which, split, datasets)]
    return which, files, recipe(which, split, size, datasets, own=True)
