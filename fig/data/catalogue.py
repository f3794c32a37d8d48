"""The data sets that one chooses by name, the catalogue's and the user's own, as facts; torch is not imported.

An ID data set's name is its own. The name of an OOD set says how its images were made from those of its source:
`<source>-r-<resampler>` are whole images resized to the ID size, `<source>-r-centre` their middle after the short side
was resized to it, as ID test images are made, `<source>-c` random crops of it, and `<source>-r-odin` and
`<source>-c-odin` come ready-made from ODIN's published archives.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field

from fig.data.addresses import Address
from fig.settings import Augmentation, Border, Json, Side, Title, read_settings, settings

CATALOGUE = Path(__file__).with_name("catalogue.yaml")
RESAMPLERS = ("antialias", "bilinear", "nearest")
CENTRE = "centre"
BY_SUFFIX: dict[str, "Reader"] = {  # the reader of a path, or of the file next to the images
    ".npy": "arrays",
    ".npz": "arrays",
    ".txt": "list",
    ".csv": "table",
    ".tsv": "table",
    ".parquet": "table",
}
ON_DISK = "[A-Za-z0-9][A-Za-z0-9._+-]*"  # valid names of a downloaded file, which are also part of a shell command
NAMING = ("list", "table")  # readers of files that name images: in their own folder unless another is stated
SAVED = ("state.json", "dataset_dict.json")  # in a Hugging Face data set on disk: of one, or of several splits


Reader = Literal[
    "",
    "images",
    "classes",
    "arrays",
    "list",
    "table",
    "huggingface",
    "svhn",
    "cifar10",
    "cifar100",
    "lmdb",
    "flowers",
    "dtd",
    "miniimagenet",
    "digits",
    "photographs",
]


@settings
class File:
    """A file as its publisher offers it."""

    url: Address
    """Its address; a password belongs into ~/.netrc."""
    name: Annotated[str, Field(max_length=100)] = ""
    """Its name on disk; the last part of the URL unless given."""
    hash: Annotated[str, Field(pattern="^((md5|sha256):[0-9a-f]+)?$")] = ""
    """Its hash as `md5:…` or `sha256:…`; empty if the publisher states none."""
    size: Annotated[int, Field(ge=0, le=10**15)] = 0
    """Its size in bytes; 0 if unknown."""

    def __post_init__(self) -> None:
        if not re.fullmatch(ON_DISK, self.on_disk):
            raise ValueError(f"{self.on_disk!r} is no name for a file on disk: state another as name")

    @property
    def on_disk(self) -> str:
        """Its name in the folder of downloads."""
        return self.name or self.url.rpartition("/")[2]


@settings
class Part:
    """Where the images of a split are, and who reads them."""

    reader: Reader = ""
    """The format (see fig/data/readers.py); chosen by the path if empty."""
    files: tuple[File, ...] = ()
    """Files to download, instead of a `path`."""
    path: str = ""
    """A folder, archive, array (.npy, .npz), table (.csv, .tsv, .parquet), list (.txt) or Hugging Face's data set."""
    labels: str = ""
    """A second path: an array's labels, MiniImageNet's split lists, or the table or list of the images in `path`."""
    image_column: str = ""
    """A table's column with the images: paths, or encoded images; found by its name if empty."""
    label_column: str = ""
    """A table's column with the labels; found by its name if empty."""
    under: Annotated[str, Field(max_length=250)] = ""
    """The folder inside, or a Hugging Face split. Class folders of an ID set are `<under>/<class>/…/<image>`."""
    classes: tuple[str, ...] = ()
    """Names of the classes to take, in the order of their labels; all if empty."""
    obtain: str = ""
    """How to get what cannot be downloaded, as a sentence."""


@settings
class IdDataset:
    """A labelled data set that discriminators are trained on."""

    train: Part
    """The training images."""
    size: Side
    """Pixels a side, as networks see the images: the short side is resized and the middle cut out."""
    test: Part | None = None
    """The test images."""
    test_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of each class of `train` that is drawn for testing, if there are no `test` images."""
    stored: Border = 0
    """Pixels a side of the stored training images, from which crops are drawn; 0: `size`."""
    padding: Border = 0
    """Zeros on each side before the random crop in training, in pixels."""
    flip: bool = False
    """Mirror one training image in two."""
    as_published: bool = False
    """Whether the splits are a publisher's: test images that are training images too are reported, not refused."""
    title: Title = ""
    """The paper's name of the data set: its printed values are shown next to ours."""
    about: str = ""
    """What the images are, for the report."""
    terms: str = ""
    """Terms of use."""
    paper: str = ""
    """The publication to cite."""

    def part(self, split: str) -> Part:
        """Where the images of `train` or `test` are."""
        return self.test if split == "test" and self.test else self.train

    @property
    def augmentation(self) -> Augmentation:
        """How training images are cropped and mirrored."""
        return Augmentation(self.size, self.padding, self.flip)


@settings
class OodSource:
    """A collection of images from which OOD sets are made: `<name>-r-<resampler>` and `<name>-c`."""

    images: Part
    """The images."""
    published: dict[str, Part] = Field(default_factory=dict)
    """Ready-made OOD sets by suffix: r-odin, c-odin."""
    title: Title = ""
    """The paper's name of the source: its printed values are shown next to ours."""
    about: str = ""
    """What the images are, for the report."""
    terms: str = ""
    """Terms of use."""
    paper: str = ""
    """The publication to cite."""


Datasets = Mapping[str, IdDataset | OodSource]


@settings
class Recipe:
    """How `prepare` makes a split from its files."""

    reader: Reader
    """The format of the files."""
    split: str
    """train or test."""
    size: Side
    """Pixels a side of the prepared images."""
    way: str
    """How an image becomes square: centre, crop, a resampler, or the name of a ready-made set."""
    ready: bool = False
    """Whether the images are ready-made: nothing but a border is cut off."""
    short: Border = 0
    """Pixels of the short side before the cut, for the way `centre`."""
    under: str = ""
    """The folder inside the files that holds the images."""
    image_column: str = ""
    """A table's column with the images; found by its name if empty."""
    label_column: str = ""
    """A table's column with the labels; found by its name if empty."""
    classes: tuple[str, ...] = ()
    """Names of the classes to take; all if empty."""
    test_share: float = 0.0
    """Share of each class that is drawn for testing."""
    labelled: bool = False
    """Whether every image must have a label; otherwise labels are kept where all have one."""
    own: bool = False
    """Whether these are the user's own images: what is odd is refused, not only reported."""
    about: str = ""
    """What the images are, for the report."""
    obtain: str = ""
    """How to get what cannot be downloaded, as a sentence."""


@cache
def entries() -> dict[str, Json]:
    """The catalogue as its file has it."""
    found: dict[str, Json] = yaml.safe_load(CATALOGUE.read_text())["datasets"]
    return found


def datasets_of(stated: Mapping[str, Mapping[str, Json]]) -> dict[str, IdDataset | OodSource]:
    """Data sets by name, from entries as the catalogue and configurations have them.

    Raises ValueError naming the key where one is unknown or of a wrong type.
    """
    return {name: read_dataset(name, entry) for name, entry in stated.items()}


def read_dataset(name: str, entry: Mapping[str, Json]) -> IdDataset | OodSource:
    """The data set that an entry states: an ID data set has a key `train`."""
    where = f"datasets.{name}"
    labelled = isinstance(entry, Mapping) and "train" in entry  # a mapping, or what a file has in its place
    return read_settings(IdDataset, entry, where) if labelled else read_settings(OodSource, entry, where)


def size_of(datasets: Datasets, name: str) -> int:
    """Return the side of an ID data set's images in pixels; raises ValueError for any other data set."""
    dataset = datasets[name]
    if not isinstance(dataset, IdDataset):
        raise ValueError(f"{name} is a source of OOD images, not an ID data set")
    return dataset.size


def ood_sources(datasets: Datasets) -> dict[str, OodSource]:
    """The sources of OOD images, by name."""
    return {name: dataset for name, dataset in datasets.items() if isinstance(dataset, OodSource)}


def id_names(datasets: Datasets) -> list[str]:
    """Names of the ID data sets."""
    return [name for name, dataset in datasets.items() if isinstance(dataset, IdDataset)]


def ood_parts(name: str, datasets: Datasets) -> tuple[str, str]:
    """Source and way of an OOD set's name: photos-r-nearest is ("photos", "nearest"), photos-c ("photos", "crop").

    A ready-made set's way is its name in `published`: lsun-r-odin is ("lsun", "r-odin").
    Raises ValueError where the name is not of that form or its source is not known.
    """
    sources = ood_sources(datasets)
    found = re.fullmatch(r"(?P<source>.+)-(?P<kind>[rc])(?:-(?P<by>[a-z0-9]+))?", name)
    if found and found["source"] in sources:
        ready = f"{found['kind']}-{found['by']}"
        if ready in sources[found["source"]].published:
            return found["source"], ready
        if found["kind"] == "c" and not found["by"]:
            return found["source"], "crop"
        if found["kind"] == "r" and found["by"] in (*RESAMPLERS, CENTRE):
            return found["source"], found["by"]
    published = [f"{source}-{way}" for source in sources for way in sources[source].published]
    raise ValueError(
        f"no OOD set is called {name!r}: a name is <source>-c or <source>-r-<resampler>, with a source of "
        f"{', '.join(sources)} and a resampler of {', '.join(RESAMPLERS)}, or {CENTRE}; ready-made are "
        f"{', '.join(published) or 'none'}"
    )


def part_of(name: str, split: str, datasets: Datasets) -> Part:
    """Where the images of an ID data set's split or of an OOD set are."""
    if isinstance(found := datasets.get(name), IdDataset):
        return found.part(split)
    source, way = ood_parts(name, datasets)
    found_source = ood_sources(datasets)[source]
    return found_source.published.get(way, found_source.images)


def source_of(name: str, datasets: Datasets) -> str:
    """The catalogue's or configuration's entry behind the name of an ID data set or OOD set."""
    return name if isinstance(datasets.get(name), IdDataset) else ood_parts(name, datasets)[0]


def paths_of(part: Part) -> list[str]:
    """The paths on disk that a part states: of its images, and of a list of them; a list alone lies in their folder."""
    found = [path for path in (part.path, part.labels) if path]
    return [str(Path(found[0]).parent), *found] if len(found) == 1 and reader_of(part, False) in NAMING else found


def files_of(name: str, split: str, datasets: Datasets) -> list[str]:
    """Files from which a split is prepared: downloaded ones, or those on disk already."""
    part = part_of(name, split, datasets)
    if found := paths_of(part):
        return found
    return [f"data/downloads/{source_of(name, datasets)}/{file.on_disk}" for file in part.files]


def downloads(datasets: Datasets) -> Iterator[tuple[str, File]]:
    """Every file that can be downloaded, with the name of its source."""
    for name, dataset in datasets.items():
        if isinstance(dataset, IdDataset):
            parts = [dataset.train, dataset.test]
        else:
            parts = [dataset.images, *dataset.published.values()]
        yield from dict.fromkeys((name, file) for part in parts if part for file in part.files)


def reader_of(part: Part, labelled: bool) -> Reader:
    """The name of a part's reader: the one it states, or the one for its path and for what is there."""
    if part.reader:
        return part.reader
    if found := BY_SUFFIX.get(Path(part.labels or part.path).suffix):
        return found
    if part.path and any((Path(part.path) / part.under / name).exists() for name in SAVED):
        return "huggingface"
    return "classes" if labelled or part.classes else "images"


MADE = {
    "crop": "random crops of the ID images' size",
    CENTRE: "resized by the short side (antialias), the middle cut out",
    "r-odin": "whole images resized by ODIN's authors",
    "c-odin": "crops made by ODIN's authors",
} | {way: f"whole images resized ({way})" for way in RESAMPLERS}


def recipe(name: str, split: str, size: int, datasets: Datasets, own: bool) -> Recipe:
    """How the split of an ID data set, or an OOD set for ID images of `size` pixels a side, is prepared."""
    part = part_of(name, split, datasets)
    dataset = datasets[source_of(name, datasets)]
    about = [dataset.about, dataset.paper, dataset.terms]
    if isinstance(dataset, IdDataset):
        cut = id_cut(dataset, split)
        own = own and not dataset.as_published
    else:
        cut = ood_cut(name, size, datasets)
        about.append(MADE.get(cut["way"], ""))
    return Recipe(
        reader=reader_of(part, isinstance(dataset, IdDataset)),
        split=split,
        under=part.under,
        image_column=part.image_column,
        label_column=part.label_column,
        classes=part.classes,
        labelled=isinstance(dataset, IdDataset),
        own=own,
        about="; ".join(filter(None, about)),
        obtain=part.obtain,
        **cut,
    )


def id_cut(dataset: IdDataset, split: str) -> dict[str, Json]:
    """What is cut from an ID data set's images, and which of them."""
    stored = dataset.stored or dataset.size
    share = 0.0 if dataset.test else dataset.test_share
    return {"way": CENTRE, "short": stored, "size": stored if split == "train" else dataset.size, "test_share": share}


def ood_cut(name: str, size: int, datasets: Datasets) -> dict[str, Json]:
    """How an OOD set's images are made."""
    source, way = ood_parts(name, datasets)
    short = size if way == CENTRE else 0
    return {"way": way, "size": size, "short": short, "ready": way in ood_sources(datasets)[source].published}
