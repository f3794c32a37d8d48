"""Every data set of the catalogue, from its publisher's format through download and prepare, by Snakemake."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from fig.data.arrays import Split, open_split
from fig.data.catalogue import OodSource, datasets_of, downloads, entries
from support.archives import STEP, archives, imagenet
from support.publisher import published
from support.workspace import Workspace, copy_of_project

pytestmark = pytest.mark.pipeline

DATASETS = datasets_of(entries())
ID_LABELS = {  # what the tiny files hold
    "svhn": {"train": [0, 1, 2, 9], "test": [9, 0]},
    "cifar10": {"train": [0, 1, 2, 3, 4], "test": [7, 3]},
    "cifar100": {"train": [0, 1, 2], "test": [2, 5]},
}
SOURCES = [name for name, dataset in DATASETS.items() if isinstance(dataset, OodSource) and name != "photos"]
OOD_SETS = [f"{name}-{way}" for name in SOURCES for way in ("c", *DATASETS[name].published)]


def state_the_tiny_files(workspace: Workspace, files: dict[str, bytes]) -> None:
    """Write the tiny files' hashes and sizes into the copy's catalogue, where hashes are stated."""
    path = workspace.folder / "fig" / "data" / "catalogue.yaml"
    catalogue = yaml.safe_load(path.read_text())
    for name, entry in catalogue["datasets"].items():
        parts = [entry.get(key) for key in ("train", "test", "images")] + list(entry.get("published", {}).values())
        for file in [file for part in parts if part for file in part.get("files", [])]:
            content = files[f"{name}/{file.get('name') or file['url'].rpartition('/')[2]}"]
            if "hash" in file:
                file |= {"hash": f"md5:{hashlib.md5(content).hexdigest()}", "size": len(content)}
    path.write_text(yaml.safe_dump(catalogue))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of the project in which every set was downloaded and prepared."""
    folder = tmp_path_factory.mktemp("catalogue")
    workspace = copy_of_project(folder)
    imagenet(folder / "raw")
    files = archives(tmp_path_factory.mktemp("lsun"))
    state_the_tiny_files(workspace, files)
    with published({f"mirror/{name}": content for name, content in files.items()}) as publisher:
        config = yaml.safe_load((folder / "tests" / "tiny.yaml").read_text())
        config["data"] = {"mirror": f"{publisher.address}/mirror", "accept_unknown_hashes": True}
        part = {"reader": "miniimagenet", "path": "raw/ILSVRC", "labels": "raw/lists"}
        config["datasets"] = {"miniimagenet": {"train": part}}
        (folder / "every.yaml").write_text(yaml.safe_dump(config))
        ids = [f"data/32/{name}/{split}.npy" for name in ID_LABELS for split in ("train", "test")]
        ids += [f"data/224/miniimagenet/{split}.npy" for split in ("train", "test")]
        ood = [f"data/32/{name}/test.npy" for name in OOD_SETS]
        workspace.snakemake(*ids, *ood, "data/224/dtd47-r-nearest/test.npy", configfile="every.yaml")
    return workspace


def split_of(prepared: Workspace, place: str) -> Split:
    return open_split(prepared.folder / "data" / f"{place}.npy")


def test_every_file_of_the_catalogue_is_made_in_these_tests(tmp_path: Path):
    assert {f"{name}/{file.on_disk}" for name, file in downloads(DATASETS)} == set(archives(tmp_path))


@pytest.mark.parametrize("name", ID_LABELS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_an_id_set_has_its_publishers_images_and_labels(prepared: Workspace, name: str, split: str):
    data, expected = split_of(prepared, f"32/{name}/{split}"), ID_LABELS[name][split]
    assert data.labels.tolist() == expected and data.images.shape == (len(expected), 32, 32, 3)
    assert np.array_equal(data.images, np.broadcast_to(STEP * np.reshape(expected, (-1, 1, 1, 1)), data.images.shape))
    assert len(data.description.classes) == (100 if name == "cifar100" else 10)


@pytest.mark.parametrize("name", OOD_SETS)
def test_an_ood_set_has_its_publishers_test_images(prepared: Workspace, name: str):
    data = split_of(prepared, f"32/{name}/test")
    assert data.images.shape == (3, 32, 32, 3) and not len(data.labels)
    assert abs(data.images.astype(int) - STEP * np.arange(3).reshape(-1, 1, 1, 1)).max() <= 3  # what JPEG changes
    assert len(data.description.made["sources"]) >= 1 and data.description.about


def test_miniimagenet_is_the_lists_images_stored_larger_for_training_and_split_by_class(prepared: Workspace):
    train, test = (split_of(prepared, f"224/miniimagenet/{split}") for split in ("train", "test"))
    assert train.images.shape == (10, 256, 256, 3) and test.images.shape == (2, 224, 224, 3)
    assert np.bincount(train.labels).tolist() == [5, 5] and sorted(test.labels) == [0, 1]
    ranks = [[round(i[..., 0].mean() / 10) for i in data.images[data.labels == 0]] for data in (train, test)]
    assert sorted(ranks[0] + ranks[1]) == [2, 3, 4, 5, 6, 7], "by rank among ImageNet's numbers, not by the numbers"


def test_the_same_source_serves_several_sizes(prepared: Workspace):
    assert split_of(prepared, "224/dtd47-r-nearest/test").images.shape == (3, 224, 224, 3)


def test_what_had_no_stated_hash_is_recorded_in_the_repository(prepared: Workspace):
    (url,) = yaml.safe_load((prepared.folder / "config" / "data.lock.yaml").read_text())
    assert url.endswith("test_lmdb.zip")


def test_nothing_is_fetched_or_prepared_twice(prepared: Workspace):
    done = prepared.snakemake("data/32/lsun-c/test.npy", configfile="every.yaml")
    assert "Nothing to be done" in done.stdout + done.stderr
