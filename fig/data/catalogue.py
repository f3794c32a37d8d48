"""The data sets that one chooses by name, as facts: nothing is opened here, and torch is not imported.

The name of an OOD set says how its images were made: `<source>-r-<resampler>` are whole images resized to the ID
size, `<source>-c` are random crops of it.
"""

from dataclasses import dataclass

RESAMPLERS = ("antialias", "bilinear", "nearest")


@dataclass(frozen=True)
class IdDataset:
    """A labelled data set that discriminators are trained on."""

    title: str
    about: str
    classes: int
    size: int  # pixels a side
    padding: int  # of the random crop in training, in pixels
    flip: bool  # whether training mirrors images
    mean: tuple[float, float, float]  # of the training pixels in [0, 1]; checked when the data is prepared
    std: tuple[float, float, float]


@dataclass(frozen=True)
class OodSource:
    """A collection of images from which OOD sets are made."""

    title: str
    about: str


ID_DATASETS = {
    "digits": IdDataset(
        title="Digits",
        about="1,797 real handwritten digits of 8 x 8 pixels (Alpaydin and Kaynak, 1998), upscaled to 32 x 32; shipped "
        "with scikit-learn; CC BY 4.0",
        classes=10,
        size=32,
        padding=2,
        flip=False,
        mean=(0.305, 0.305, 0.305),
        std=(0.323, 0.323, 0.323),
    ),
    "svhn": IdDataset(
        title="SVHN",
        about="house numbers in street views, cropped digits (Netzer et al., 2011); for non-commercial use",
        classes=10,
        size=32,
        padding=4,
        flip=True,  # as in the paper, though a mirrored digit is none
        mean=(0.438, 0.444, 0.473),
        std=(0.198, 0.201, 0.197),
    ),
    "cifar10": IdDataset(
        title="CIFAR10",
        about="60,000 photographs of ten kinds of animals and vehicles (Krizhevsky, 2009)",
        classes=10,
        size=32,
        padding=4,
        flip=True,
        mean=(0.491, 0.482, 0.447),
        std=(0.247, 0.243, 0.262),
    ),
    "cifar100": IdDataset(
        title="CIFAR100",
        about="60,000 photographs of a hundred kinds of things (Krizhevsky, 2009)",
        classes=100,
        size=32,
        padding=4,
        flip=True,
        mean=(0.507, 0.487, 0.441),
        std=(0.267, 0.256, 0.276),
    ),
}

OOD_SOURCES = {
    "photos": OodSource(
        title="Photos",
        about="windows of real photographs shipped with scikit-learn and scikit-image (public domain, CC0 or CC BY)",
    ),
    "lsun": OodSource("LSUN", "10,000 test images of scenes (Yu et al., 2015)"),
    "tinyimagenet": OodSource("TinyImageNet", "10,000 test images of 200 ImageNet classes, 64 x 64 pixels"),
    "caltech256": OodSource("Caltech256", "30,607 photographs of objects (Griffin et al., 2007)"),
    "coco": OodSource("COCO", "5,000 photographs of everyday scenes, val2017 (Lin et al., 2014)"),
}


def ood_parts(name: str) -> tuple[str, str]:
    """Source and way of an OOD set's name: photos-r-antialias is ("photos", "antialias"), photos-c ("photos", "crop").

    Raises ValueError where the name is not of that form or its source is not known.
    """
    source, _, way = name.rpartition("-c") if name.endswith("-c") else name.rpartition("-r-")
    way = way or "crop"
    if source not in OOD_SOURCES or way not in (*RESAMPLERS, "crop"):
        raise ValueError(
            f"no OOD set is called {name!r}: a name is <source>-c or <source>-r-<resampler>, with a source of "
            f"{', '.join(OOD_SOURCES)} and a resampler of {', '.join(RESAMPLERS)}"
        )
    return source, way
