"""What figures call networks, variants and data sets: the paper's names for them, where it has any."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

NETWORKS = {  # as the paper prints them
    "resnet18": "ResNet18",
    "vgg19": "VGG19",
    "shufflenetv2": "ShuffleNetV2",
    "densenet100": "DenseNet100",
}
VARIANTS = {"standard": "standard", "fig": "FIG", "gaussian": "Gaussian noise"}


def network_title(name: str) -> str:
    """The paper's name of a network, or its own."""
    return NETWORKS.get(name, name)


def variant_title(name: str) -> str:
    """What a variant is called."""
    return VARIANTS.get(name, name)


def source_and_way(name: str) -> tuple[str, str]:
    """Source and way of an OOD set: photos-r-nearest is ("photos", "r nearest"), photos-c ("photos", "c")."""
    source, kind, by = re.fullmatch(r"(.+)-([rc])(?:-([a-z0-9]+))?", name).groups()
    return source, f"{kind} {by}" if by else kind


def ood_titles(names: Sequence[str], titles: Mapping[str, str]) -> dict[str, str]:
    """Titles of OOD sets, T(r) or T(c); where several have the same, each with its resampler: T(r) nearest."""
    called = {name: titles.get(name, name) for name in names}
    shared = Counter(called.values())
    ways = {name: "" if shared[title] == 1 else name.rpartition("-")[2] for name, title in called.items()}
    return {name: f"{title} {ways[name]}".removesuffix(" c").strip() for name, title in called.items()}
