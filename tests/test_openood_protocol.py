"""OpenOOD's protocol as a study, from its lists to its table, and out again, on a few images in its very layout."""

import json
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from torchvision.transforms import CenterCrop, Normalize, Resize

from fig.commands.jobs import PlannedJob, list_jobs
from fig.data.arrays import open_split
from fig.discriminator import load, load_card
from fig.study import planned_targets, read_config
from support.openood import BENCHMARKS, ResNet18, write_benchmarks
from support.workspace import Workspace, blocks, copy_of_project, linked_project

pytestmark = [pytest.mark.pipeline, pytest.mark.long]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/openood.md"
STATED = yaml.safe_load((ROOT / "config/openood.yaml").read_text())
FOLDER = "results/openood/discriminators/cifar10-openood/resnet18/standard"
MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]  # OpenOOD's, of CIFAR10


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[PlannedJob]:
    """Every job of config/openood.yaml as it is."""
    with linked_project(tmp_path_factory.mktemp("planned")) as folder:
        write_benchmarks(folder / "data/openood", train=2, test=2)
        return list_jobs([Path("config/openood.yaml")])


def test_the_protocol_is_planned_from_openoods_lists_and_trained_as_openood_trains(jobs: list[PlannedJob]):
    counts = Counter(job.rule for job in jobs)
    assert counts["prepare"] == 2 * (2 + 6) and counts["pretrain"] == 2 * 3
    assert counts["retrain"] == 2 * 3 * 3  # the heads
    assert counts["evaluate"] == 3 * sum(len(study["variants"]) for study in STATED["studies"])
    lists = {path for job in jobs if job.rule == "prepare" for path in job.input if path.endswith(".txt")}
    wanted = {f"{name}/test_{ood}.txt" for name, sets in BENCHMARKS.items() for ood in (name, *sets)}
    wanted |= {f"{name}/train_{name}.txt" for name in BENCHMARKS}
    assert lists == {f"data/openood/benchmark_imglist/{path}" for path in wanted}
    for training in (job.job.training for job in jobs if job.rule in ("pretrain", "retrain")):
        assert (training.learning_rate, training.momentum, training.nesterov) == (0.1, 0.9, True)
        assert (training.epochs, training.batch_size) == (100, 128)
        assert (training.weight_decay, training.cosine_to) == (5e-4, 1e-6)
    augmentation = next(job for job in jobs if job.rule == "pretrain").job.augmentation
    assert (augmentation.size, augmentation.padding, augmentation.flip) == (32, 4, True)
    assert counts["openood"] == counts["gains"] == 1


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The table of the study on CIFAR10's benchmark, with two seeds, few images and one epoch, made."""
    workspace = copy_of_project(tmp_path_factory.mktemp("openood"))
    write_benchmarks(workspace.folder / "data/openood", benchmarks=["cifar10"])
    alone = {"variants": ["standard"], "controls": {}, "targets": ["openood"]}
    stated = STATED | {"seeds": [0, 1], "studies": [STATED["studies"][0] | alone], "per_id_dataset": {}}
    stated["datasets"] = {name: each for name, each in STATED["datasets"].items() if "100-" not in name}
    stated["datasets"].pop("cifar100-openood", None)
    stated["resources"] = {"training": {"workers": 0}, "evaluation": {"workers": 0}}
    stated["pretraining"] = STATED["pretraining"] | {"epochs": 1, "batch_size": 16, "learning_rate": 0.001}
    stated["fig"] = {"sampler": {"min_steps": 1, "max_steps": 1}}
    (workspace.folder / "small.yaml").write_text(yaml.safe_dump(stated, sort_keys=False))
    workspace.snakemake("openood", configfile="small.yaml")
    return workspace


def test_images_are_read_by_the_lists_and_made_as_openood_makes_them(done: Workspace):
    root = done.folder / "data/openood"
    for ood in BENCHMARKS["cifar10"]:
        group = "near" if ood in ("cifar100", "tin") else "far"
        lines = (root / f"benchmark_imglist/cifar10/test_{ood}.txt").read_text().splitlines()
        split = open_split(done.folder / f"data/32/{group}10-{ood}-r-centre/test.npy")
        wanted = [
            CenterCrop(32)(Resize(32)(Image.open(root / "images_classic" / line.split()[0]).convert("RGB")))
            for line in lines
        ]
        assert np.array_equal(split.images, np.stack(list(map(np.asarray, wanted)))) and not split.description.labels
    test = open_split(done.folder / "data/32/cifar10-openood/test.npy")
    assert len(test.images) == 12 and test.labels.tolist() == [row % 2 for row in range(12)]


def test_the_table_has_near_and_far_columns_of_the_very_scores(done: Workspace):
    table = pd.read_csv(done.folder / "results/openood/tables/openood.csv").fillna({"group": "", "ood_dataset": ""})
    means = table[table["ood_dataset"] == ""].set_index(["measure", "group"])
    for group, sets in STATED["studies"][0]["groups"].items():
        found = []
        for seed in (0, 1):
            scores = np.load(done.folder / FOLDER / str(seed) / "scores/baseline.npz")
            above = [(scores["id"][:, None] > scores[name]).mean() for name in sets]  # no score is tied
            found.append(np.mean(above))
        assert means.loc[("auroc", group), "mean"] == pytest.approx(np.mean(found))
        assert means.loc[("auroc", group), "sd"] == pytest.approx(np.std(found))
    shown = (done.folder / "results/openood/tables/openood.md").read_text()
    headings = ["near AUROC ↑", "far AUROC ↑", "near FPR at 95 % TPR", "far FPR at 95 % TPR", "accuracy ↑"]
    places = [shown.index(heading) for heading in headings]
    assert places == sorted(places)


def test_it_goes_out_as_openood_writes_it(done: Workspace):
    folders = [f"{FOLDER}/{seed}" for seed in (0, 1)]
    done.run("fig", "openood", *folders, "--study", "small.yaml", "--out", "out")
    out = done.folder / "out/cifar10-openood_resnet18_standard"
    metrics = pd.read_csv(done.folder / "results/openood/tables/openood.csv").fillna({"group": "", "ood_dataset": ""})
    means = metrics[metrics["ood_dataset"] == ""].set_index(["measure", "group"])["mean"]
    rows = ["cifar100", "tin", "nearood", "mnist", "svhn", "texture", "places365", "farood"]
    whole = pd.read_csv(out / "ood/msp.csv", index_col=0)
    assert list(whole.index) == rows
    for group in ("near", "far"):
        for column, measure in (("AUROC", "auroc"), ("FPR@95", "fpr95_ood_positive")):
            assert whole.loc[f"{group}ood", column].split()[0] == f"{100 * means[measure, group]:.2f}"
    for seed in (0, 1):
        own = pd.read_csv(out / f"s{seed}/msp/ood.csv", index_col="dataset")
        assert list(own.index) == rows and own.notna().all(axis=None)
        with np.load(out / f"s{seed}/msp/scores/cifar10.npz") as inside:
            assert inside["label"].tolist() == [row % 2 for row in range(12)]
            assert own["ACC"].tolist() == [round(100 * (inside["pred"] == inside["label"]).mean(), 2)] * 8
        with np.load(out / f"s{seed}/msp/scores/tin.npz") as outside:
            assert set(outside["label"]) == {-1} and len(outside["pred"]) == len(outside["conf"]) == 13
        network = ResNet18(2).eval()
        network.load_state_dict(torch.load(out / f"s{seed}/best.ckpt", weights_only=True), strict=True)
        normal = json.loads((out / f"s{seed}/normalization.json").read_text())
        images = torch.from_numpy(np.array(open_split(done.folder / "data/32/cifar10-openood/test.npy").images))
        with torch.no_grad():
            logits = network(Normalize(normal["mean"], normal["std"])(images.permute(0, 3, 1, 2) / 255))
        assert np.array_equal(logits.argmax(dim=1), np.load(out / f"s{seed}/msp/scores/cifar10.npz")["pred"])


def test_openoods_checkpoints_are_the_standard_discriminators_each_of_its_seed(done: Workspace):
    theirs = yaml.safe_load(blocks(PAGE, "yaml")[1])
    networks = {}
    for seed in (0, 1):
        torch.manual_seed(seed)
        networks[seed] = ResNet18(2).eval()
        path = done.folder / theirs["networks"]["resnet18"]["checkpoint"].format(seed=seed)
        path.parent.mkdir(parents=True)
        torch.save(networks[seed].state_dict(), path)
    (done.folder / "theirs.yaml").write_text(blocks(PAGE, "yaml")[1])
    folders = [FOLDER.replace("openood", theirs["run"], 1) + f"/{seed}" for seed in networks]
    wanted = [f"{folder}/model.safetensors" for folder in folders]
    done.run("snakemake", *wanted, "--profile", "local", "--configfile", "small.yaml", "theirs.yaml")
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    for (seed, network), folder in zip(networks.items(), folders, strict=True):
        assert load_card(done.folder / folder).seed == seed
        with torch.no_grad():
            wanted = network(Normalize(MEAN, STD)(images / 255))
            assert torch.allclose(load(done.folder / folder).eval()(images), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--study", "tests/tiny.yaml"], "no study of tiny has groups of OOD sets and shows cifar10-openood/resnet18"),
        (["--study", "small.yaml", f"{FOLDER}/7"], "7"),
    ],
)
def test_what_cannot_be_written_is_refused_in_a_sentence(done: Workspace, words: list[str], sentence: str):
    refused = done.run("fig", "openood", f"{FOLDER}/0", *words, "--out", "nowhere", check=False)
    assert refused.returncode and sentence in refused.stderr and "Traceback" not in refused.stderr


def test_the_pages_studies_are_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_benchmarks(tmp_path / "data/openood", train=2, test=2)
    for seed in STATED["seeds"]:
        path = tmp_path / f"checkpoints/cifar10_resnet18_32x32_base_e100_lr0.1_default/s{seed}/best.ckpt"
        path.parent.mkdir(parents=True)
        path.touch()
    for number, text in enumerate(blocks(PAGE, "yaml")):
        (tmp_path / f"{number}.yaml").write_text(text)
        config = read_config([ROOT / "config/openood.yaml", tmp_path / f"{number}.yaml"])
        assert {row.name for row in planned_targets(config)} > {"openood"} and len(config.studies) == 1


def test_groups_name_every_ood_set_of_the_data_once():
    named = list(chain(*(sets for study in STATED["studies"] for sets in study["groups"].values())))
    sources = [name for name, entry in STATED["datasets"].items() if "images" in entry]
    assert sorted(named) == sorted(f"{name}-r-centre" for name in sources) and len(set(named)) == 12
