"""The data sets that one chooses by name, the catalogue's and the user's own, as facts; torch is not imported.

An ID data set's name is its own. The name of an OOD set says how its images were made from those of its source:
`<source>-r-<resampler>` are whole images resized to the ID size, `<source>-c` random crops of it, and `<source>-r-odin`
and `<source>-c-odin` come ready-made from ODIN's published archives.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fig.settings import settings_of

CATALOGUE = Path(__file__).with_name("catalogue.yaml")
RESAMPLERS = ("antialias", "bilinear", "nearest")
ARRAYS = (".npy", ".npz")


@dataclass(frozen=True)
class File:
    """A file as its publisher offers it."""

    url: str
    name: str = ""  # on disk; the last part of the URL unless given
    hash: str = ""  # "md5:..." or "sha256:..."; empty where the publisher states none
    size: int = 0  # bytes; 0 where unknown

    @property
    def on_disk(self) -> str:
        """Its name in the folder of downloads."""
        return self.name or self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Part:
    """Where the images of a split are, and who reads them."""

    reader: str = ""  # of fig.data.readers; chosen by the path where it is empty
    files: tuple[File, ...] = ()  # to be downloaded
    path: str = ""  # on disk already, instead of the files: a folder, an archive or an array
    labels: str = ""  # a second path, where labels or split lists are not in the first
    under: str = ""  # folder in the archive or folder that holds the images
    classes: tuple[str, ...] = ()  # those of the images' classes that are taken; all where empty
    obtain: str = ""  # how to get what cannot be downloaded, a sentence


@dataclass(frozen=True)
class IdDataset:
    """A labelled data set that discriminators are trained on."""

    train: Part
    size: int  # pixels a side, as networks see the images
    test: Part | None = None  # or, where there is none:
    test_share: float = 0.0  # share of each class in `train` that is drawn for testing
    stored: int = 0  # pixels a side of training images before the random crop; `size` where 0
    padding: int = 0  # zeros on each side before the random crop in training, in pixels
    flip: bool = False  # whether training mirrors images
    title: str = ""
    about: str = ""
    terms: str = ""
    paper: str = ""

    def part(self, split: str) -> Part:
        """Where the images of `train` or `test` are."""
        return self.test if split == "test" and self.test else self.train

    @property
    def augmentation(self) -> dict[str, Any]:
        """How training crops and mirrors: the settings of fig.data.augment.Augmentation."""
        return {"size": self.size, "padding": self.padding, "flip": self.flip}


@dataclass(frozen=True)
class OodSource:
    """A collection of images from which OOD sets are made."""

    images: Part
    published: dict[str, Part] = field(default_factory=dict)  # ready-made OOD sets: r-odin, c-odin
    title: str = ""
    about: str = ""
    terms: str = ""
    paper: str = ""


Datasets = Mapping[str, IdDataset | OodSource]


@dataclass(frozen=True)
class Recipe:
    """How a split is prepared: what `prepare` needs beside the files."""

    reader: str
    split: str
    size: int  # pixels a side of the prepared images
    way: str  # centre, crop, a resampler, or the name of a ready-made set
    ready: bool = False  # the images are ready-made: nothing but a border is cut off
    short: int = 0  # pixels of the short side before the cut, for the way `centre`
    under: str = ""
    classes: tuple[str, ...] = ()
    test_share: float = 0.0
    own: bool = False  # the user's own data: what is odd is refused, not only told
    about: str = ""
    obtain: str = ""


def entries() -> dict[str, Any]:
    """The catalogue as it stands in its file."""
    return yaml.safe_load(CATALOGUE.read_text())["datasets"]


def datasets_of(stated: Mapping[str, Mapping[str, Any]]) -> dict[str, IdDataset | OodSource]:
    """Data sets by name, from entries as the catalogue and configurations have them.

    Raises ValueError naming the key where one is unknown or of a wrong type.
    """
    kinds = {name: IdDataset if "train" in entry else OodSource for name, entry in stated.items()}
    return {name: settings_of(kinds[name], entry, f"datasets.{name}") for name, entry in stated.items()}


def id_names(datasets: Datasets) -> list[str]:
    """Names of the ID data sets."""
    return [name for name, dataset in datasets.items() if isinstance(dataset, IdDataset)]


def ood_parts(name: str, datasets: Datasets) -> tuple[str, str]:
    """Source and way of an OOD set's name: photos-r-nearest is ("photos", "nearest"), photos-c ("photos", "crop").

    A ready-made set's way is its name in `published`: lsun-r-odin is ("lsun", "r-odin").
    Raises ValueError where the name is not of that form or its source is not known.
    """
    sources = [source for source, dataset in datasets.items() if isinstance(dataset, OodSource)]
    found = re.fullmatch(r"(?P<source>.+)-(?P<kind>[rc])(?:-(?P<by>[a-z0-9]+))?", name)
    if found and found["source"] in sources:
        ready = f"{found['kind']}-{found['by']}"
        if ready in datasets[found["source"]].published:
            return found["source"], ready
        if found["kind"] == "c" and not found["by"]:
            return found["source"], "crop"
        if found["kind"] == "r" and found["by"] in RESAMPLERS:
            return found["source"], found["by"]
    ready = [f"{source}-{way}" for source in sources for way in datasets[source].published]
    raise ValueError(
        f"no OOD set is called {name!r}: a name is <source>-c or <source>-r-<resampler>, with a source of "
        f"{', '.join(sources)} and a resampler of {', '.join(RESAMPLERS)}; ready-made are {', '.join(ready) or 'none'}"
    )


def part_of(name: str, split: str, datasets: Datasets) -> Part:
    """Where the images of an ID data set's split or of an OOD set are."""
    if isinstance(found := datasets.get(name), IdDataset):
        return found.part(split)
    source, way = ood_parts(name, datasets)
    return datasets[source].published.get(way, datasets[source].images)


def source_of(name: str, datasets: Datasets) -> str:
    """The catalogue's or configuration's entry behind the name of an ID data set or OOD set."""
    return name if isinstance(datasets.get(name), IdDataset) else ood_parts(name, datasets)[0]


def files_of(name: str, split: str, datasets: Datasets) -> list[str]:
    """Files from which a split is prepared: downloaded ones, or those on disk already."""
    part = part_of(name, split, datasets)
    if part.path:
        return [path for path in (part.path, part.labels) if path]
    return [f"data/downloads/{source_of(name, datasets)}/{file.on_disk}" for file in part.files]


def downloads(datasets: Datasets) -> Iterator[tuple[str, File]]:
    """Every file that can be downloaded, with the name of its source."""
    for name, dataset in datasets.items():
        if isinstance(dataset, IdDataset):
            parts = [dataset.train, dataset.test]
        else:
            parts = [dataset.images, *dataset.published.values()]
        yield from dict.fromkeys((name, file) for part in parts if part for file in part.files)


def reader_of(part: Part, labelled: bool) -> str:
    """The name of a part's reader: the one it states, or the one for its path."""
    if part.reader:
        return part.reader
    if Path(part.path).suffix in ARRAYS:
        return "arrays"
    return "classes" if labelled or part.classes else "images"


MADE = {
    "crop": "random crops of the ID images' size",
    "r-odin": "whole images resized by ODIN's authors",
    "c-odin": "crops made by ODIN's authors",
} | {way: f"whole images resized ({way})" for way in RESAMPLERS}


def recipe(name: str, split: str, size: int, datasets: Datasets, own: bool) -> Recipe:
    """How the split of an ID data set, or an OOD set for ID images of `size` pixels a side, is prepared."""
    part = part_of(name, split, datasets)
    dataset = datasets[source_of(name, datasets)]
    about = (dataset.about, dataset.paper, dataset.terms)
    cut = id_cut(dataset, split) if isinstance(dataset, IdDataset) else ood_cut(name, size, datasets)
    return Recipe(
        reader=reader_of(part, isinstance(dataset, IdDataset)),
        split=split,
        under=part.under,
        classes=part.classes,
        own=own,
        about="; ".join(text for text in (*about, MADE.get(cut["way"], "")) if text),
        obtain=part.obtain,
        **cut,
    )


def id_cut(dataset: IdDataset, split: str) -> dict[str, Any]:
    """What is cut from an ID data set's images, and which of them."""
    stored = dataset.stored or dataset.size
    share = 0.0 if dataset.test else dataset.test_share
    return {"way": "centre", "short": stored, "size": stored if split == "train" else dataset.size, "test_share": share}


def ood_cut(name: str, size: int, datasets: Datasets) -> dict[str, Any]:
    """How an OOD set's images are made."""
    source, way = ood_parts(name, datasets)
    return {"way": way, "size": size, "ready": way in datasets[source].published}
