"""What the folders of a run's discriminators hold, read without torch."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

METRICS = ["id_dataset", "network", "variant", "seed", "key", "detector", "protocol", "setting", "ood_dataset"]
METRICS += ["metric", "value"]  # columns of a metrics.csv
Key = tuple[str, str, str, int]  # id_dataset, network, variant, seed


def key_of(folder: Path) -> Key:
    """The four names of a discriminator, from its folder."""
    id_dataset, network, variant, seed = folder.parts[-4:]
    return id_dataset, network, variant, int(seed)


def all_metrics(folders: Iterable[Path]) -> pd.DataFrame:
    """The rows of every `metrics.csv`, none where there is none; an empty detector or OOD set is an empty text."""
    found = [pd.read_csv(folder / "metrics.csv", keep_default_na=False) for folder in folders]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=METRICS)


def histories(folders: Iterable[Path]) -> dict[Key, pd.DataFrame]:
    """Each discriminator's `history.csv`."""
    return {key_of(folder): pd.read_csv(folder / "history.csv") for folder in folders}


def arrays(path: Path) -> dict[str, NDArray]:
    """The arrays of a .npz file."""
    with np.load(path) as file:
        return dict(file)


def scores(folders: Iterable[Path]) -> dict[tuple[Key, str], dict[str, NDArray]]:
    """Each discriminator's scores under each of its detectors."""
    paths = [path for folder in folders for path in sorted(folder.glob("scores/*.npz"))]
    return {(key_of(path.parents[1]), path.stem): arrays(path) for path in paths}


def samples(folders: Iterable[Path]) -> dict[Key, dict[str, NDArray]]:
    """Each discriminator's low-entropy samples."""
    return {key_of(folder): arrays(folder / "samples.npz") for folder in folders}


def cards(folders: Iterable[Path]) -> dict[Key, dict[str, Any]]:
    """Each discriminator's `discriminator.json`."""
    return {key_of(folder): json.loads((folder / "discriminator.json").read_text()) for folder in folders}


def timings(paths: Iterable[Path]) -> pd.DataFrame:
    """The times of jobs, a row for each of their timing files."""
    return pd.DataFrame([json.loads(path.read_text()) for path in paths])
