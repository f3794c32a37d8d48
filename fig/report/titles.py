"""What tables and figures call networks, variants and OOD sets: the paper's names for them, where it has any."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from fig.networks.table import NETWORKS

VARIANTS = {"standard": "standard", "fig": "FIG", "gaussian": "Gaussian noise"}


def network_title(name: str) -> str:
    """The paper's name of a network, or its own."""
    return NETWORKS[name].title if name in NETWORKS else name


def variant_title(name: str) -> str:
    """The name of a variant in figures."""
    return VARIANTS.get(name, name)


def place_title(id_dataset: str, network: str, titles: Mapping[str, str]) -> str:
    """The name of an ID data set and a network."""
    return f"{titles.get(id_dataset, id_dataset)} · {network_title(network)}"


def split_ood_name(name: str) -> tuple[str, str]:
    """Source and way of an OOD set: photos-r-nearest is ("photos", "r nearest"), photos-c ("photos", "c")."""
    found = re.fullmatch(r"(.+)-([rc])(?:-([a-z0-9]+))?", name)
    if found is None:
        raise ValueError(f"{name!r} is not the name of an OOD set")
    source, kind, by = found.groups()
    return source, f"{kind} {by}" if by else kind


def ood_titles(names: Sequence[str], titles: Mapping[str, str]) -> dict[str, str]:
    """Titles of OOD sets, T(r) or T(c); where several share one, each with its resampler: T(r) nearest."""
    found = {name: titles.get(name, name) for name in names}
    shared = Counter(found.values())
    ways = {name: "" if shared[title] == 1 else name.rpartition("-")[2] for name, title in found.items()}
    return {name: f"{title} {ways[name]}".removesuffix(" c").strip() for name, title in found.items()}
