"""OpenOOD's checkpoints, scores and protocol, read and written."""

import json
import re
from dataclasses import replace
from itertools import chain, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy.stats import ttest_rel
from sklearn.metrics import auc, precision_recall_curve, roc_curve
from torch import nn
from torchvision.transforms import Normalize

from fig.discriminator import Architecture, Discriminator
from fig.metrics import OOD_METRICS
from fig.networks.building import build
from fig.networks.heads import NORMALISED
from fig.networks.weights import load_weights
from fig.openood import (
    Scored,
    check_layout,
    measure_groups,
    write_checkpoint,
    write_means,
    write_results,
    write_scores,
)
from fig.report.tables import explain_column
from fig.report.targets import make_target
from fig.study import TARGETS, ConfigError, Selection, Study, complete_config
from support.openood import ResNet18
from support.runs import make_results

ROOT = Path(__file__).parents[1]

WRAPPED = {  # what checkpoints of OpenOOD's network look like in the wild
    "plain": lambda state: state,
    "of DataParallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "within a training's": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"state": {}}},
    "within a training's, of DataParallel": lambda state: {
        "model": {f"module.{name}": value for name, value in state.items()}
    },
    "of an old PyTorch, without counters": lambda state: {
        name: value for name, value in state.items() if not name.endswith("num_batches_tracked")
    },
    "with pytorch-cifar's name of the last layer": lambda state: {
        name.replace("fc.", "linear."): value for name, value in state.items()
    },
}


def theirs(width: float = 1 / 16, classes: int = 10) -> nn.Module:
    """OpenOOD's network with weights and running statistics that were moved."""
    torch.manual_seed(0)
    network = ResNet18(classes, width)
    for name, value in network.state_dict().items():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_a_checkpoint_of_openoods_network_gives_our_resnet18_its_logits(wrap, tmp_path: Path):
    network, ours = theirs(), build("resnet18", 10, 32, width=1 / 16).eval()
    torch.save(wrap(network.state_dict()), tmp_path / "best.ckpt")
    load_weights(ours, tmp_path / "best.ckpt")
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(ours(images), network(images), rtol=1e-4, atol=1e-5)


def test_the_stand_in_has_the_names_and_shapes_of_openoods_network():
    shapes = {name: tuple(value.shape) for name, value in ResNet18().state_dict().items()}
    assert len(shapes) == 122 and shapes["conv1.weight"] == (64, 3, 3, 3) and shapes["fc.weight"] == (10, 512)
    assert shapes["layer4.0.shortcut.0.weight"] == (512, 256, 1, 1) and "layer1.0.shortcut.0.weight" not in shapes


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (
            {f"backbone.{name}": value for name, value in theirs().state_dict().items()},
            "it lacks conv1.weight and 101 more and it has backbone.conv1.weight and 121 more, unknown to the network",
        ),
        (theirs().state_dict() | {"rot_fc.weight": torch.zeros(4, 32)}, "it has rot_fc.weight, unknown to the network"),
        (
            {name: value for name, value in theirs().state_dict().items() if name != "layer2.0.shortcut.0.weight"},
            "it lacks layer2.0.downsample.0.weight",
        ),
        (theirs(classes=100).state_dict(), "its fc.weight is (100, 32), not (10, 32)"),
    ],
)
def test_a_checkpoint_of_another_layout_is_refused_in_a_sentence_that_says_what_is_missing(
    state: dict, sentence: str, tmp_path: Path
):
    torch.save(state, tmp_path / "best.ckpt")
    with pytest.raises(ValueError) as refused:
        load_weights(build("resnet18", 10, 32, width=1 / 16), tmp_path / "best.ckpt")
    assert str(refused.value) == f"{tmp_path / 'best.ckpt'} does not fit the network: {sentence}"


def test_a_name_that_a_network_has_is_never_taken_for_another(tmp_path: Path):
    own = nn.ModuleDict({"shortcut": nn.Linear(2, 2), "downsample": nn.Linear(2, 2)})
    state = {name: torch.full_like(value, float("shortcut" in name)) for name, value in own.state_dict().items()}
    torch.save(state, tmp_path / "own.pt")
    load_weights(own, tmp_path / "own.pt")
    assert own["shortcut"].weight.eq(1).all() and own["downsample"].weight.eq(0).all()


def test_a_checkpoints_path_may_name_the_seed_and_each_is_looked_for(tmp_path: Path):
    pattern = f"{tmp_path}/{{id_dataset}}/s{{seed}}/best.ckpt"
    stated = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text()) | {"seeds": [0, 1]}
    stated["networks"]["resnet18"]["checkpoint"] = pattern
    for seed in (0, 1):
        there = tmp_path / f"digits/s{seed}/best.ckpt"
        with pytest.raises(ConfigError, match=f"networks.resnet18.checkpoint: there is no {there}"):
            complete_config(stated)
        there.parent.mkdir(parents=True)
        there.touch()
    network = complete_config(stated).networks["resnet18"]
    assert network.weights("digits", 1) == str(tmp_path / "digits/s1/best.ckpt")


# Ours in OpenOOD's forms


@pytest.mark.parametrize("head", ["linear", *NORMALISED])
def test_openoods_network_loads_our_checkpoint_and_gives_our_logits(head: str, tmp_path: Path):
    scaling = {"mean": (0.49, 0.48, 0.45), "std": (0.2, 0.2, 0.3)}
    ours = Discriminator(Architecture("resnet18", classes=10, size=32, head=head, **scaling))
    write_checkpoint(tmp_path, ours.eval())
    network = ResNet18().eval()
    network.load_state_dict(torch.load(tmp_path / "best.ckpt", weights_only=True), strict=True)
    stated = json.loads((tmp_path / "normalization.json").read_text())
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        theirs = network(Normalize(stated["mean"], stated["std"])(images / 255))
        assert torch.allclose(ours(images), theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("stated", "sentence"),
    [
        ({"network": "vgg19"}, "network is 'vgg19', but OpenOOD's ResNet18_32x32 has 'resnet18'"),
        ({"width": 0.5}, "width is 0.5, but OpenOOD's ResNet18_32x32 has 1.0"),
        ({"head": "deconf"}, "head is 'deconf'"),
        ({"size": 64}, "size is 64: OpenOOD's ResNet18_32x32 is for images below 64 pixels"),
    ],
)
def test_a_network_that_openood_does_not_have_is_refused(stated: dict, sentence: str):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        check_layout(Architecture(**{"network": "resnet18", "classes": 2, "size": 32} | stated))


def make_drawn(seed: int, shift: float, images: int = 200) -> Scored:
    """Scores of two classes of images, or of OOD images where they are shifted; two of them are equal."""
    draw = np.random.default_rng(seed)
    scores, labels = draw.normal(-shift, 1, images), draw.integers(0, 2, images)
    scores[1] = scores[0]
    return Scored(
        scores, np.where(draw.random(images) < 0.9, labels, 1 - labels), np.full(images, -1) if shift else labels
    )


def test_results_are_openoods_measures_in_its_rows_and_columns(tmp_path: Path):
    inside, outside = make_drawn(0, 0), {"tin": make_drawn(1, 1), "mnist": make_drawn(2, 2), "svhn": make_drawn(3, 1.5)}
    results = measure_groups(inside, outside, {"near": ["tin"], "far": ["mnist", "svhn"]})
    write_results(tmp_path / "ood.csv", results)
    written = pd.read_csv(tmp_path / "ood.csv", index_col="dataset")
    assert list(written.index) == ["tin", "nearood", "mnist", "svhn", "farood"]
    assert list(written) == ["FPR@95", "AUROC", "AUPR_IN", "AUPR_OUT", "ACC"]
    wanted = {}
    for name, each in outside.items():
        scores = np.concatenate([inside.scores, each.scores])
        is_ood = np.repeat([0, 1], [len(inside.scores), len(each.scores)])
        areas = [auc(*precision_recall_curve(y, x)[1::-1]) for y, x in ((1 - is_ood, scores), (is_ood, -scores))]
        area, fpr = roc_by_scikit_learn(inside.scores, each.scores)
        wanted[name] = [fpr, area, *areas, np.mean(inside.predicted == inside.labels)]
    wanted |= {"nearood": wanted["tin"], "farood": np.mean([wanted["mnist"], wanted["svhn"]], axis=0)}
    for name, values in wanted.items():
        assert results[name] == pytest.approx([100 * value for value in values])
        assert written.loc[name].tolist() == [round(value, 2) for value in results[name]]


def test_means_over_runs_have_the_deviation_of_the_population(tmp_path: Path):
    runs = [{"nearood": [value, 90.0, 0.0, 0.0, 95.0]} for value in (10.0, 20.0, 60.0)]
    write_means(tmp_path / "msp.csv", runs)
    assert (tmp_path / "msp.csv").read_text(encoding="utf-8").splitlines() == [
        ",FPR@95,AUROC,AUPR_IN,AUPR_OUT,ACC",
        "nearood,30.00 ± 21.60,90.00 ± 0.00,0.00 ± 0.00,0.00 ± 0.00,95.00 ± 0.00",
    ]


def test_scores_are_saved_as_openoods_evaluator_saves_them(tmp_path: Path):
    each = make_drawn(1, 1, images=5)
    write_scores(tmp_path, {"tin": each})
    with np.load(tmp_path / "tin.npz") as held:
        assert sorted(held) == ["conf", "label", "pred"]
        assert np.array_equal(held["conf"], each.scores) and np.array_equal(held["pred"], each.predicted)
        assert held["label"].tolist() == [-1] * 5


# The table of near and far OOD sets

GROUPS = {
    "cifar10": {"near": ("c100-r-centre", "tin-r-centre"), "far": ("mnist-r-centre", "svhn-r-centre", "dtd-r-centre")},
    "cifar100": {"near": ("c10-r-centre",), "far": ("mnist-r-centre", "svhn-r-centre")},
}
SEEDS = (0, 1, 2)


def make_scored() -> tuple[pd.DataFrame, dict]:
    """Metrics of two variants on two ID data sets, from scores; and the scores, by place, seed and OOD set."""
    draw, rows, scores = np.random.default_rng(0), [], {}
    for (id_dataset, groups), variant, seed in product(GROUPS.items(), ("standard", "fig"), SEEDS):
        own = {"id_dataset": id_dataset, "network": "resnet18", "variant": variant, "seed": seed, "key": "k"}
        own |= {"protocol": "", "setting": ""}
        accuracy = {"detector": "", "ood_dataset": "", "metric": "accuracy", "value": 0.9 + 0.01 * seed}
        rows.append(own | accuracy)
        inside = draw.normal(1, 1, 300)
        for name in (name for group in groups.values() for name in group):
            outside = draw.normal(draw.uniform(-2, 0.5), 1, 200)
            scores[id_dataset, variant, seed, name] = inside, outside
            for metric, value in {name: metric(inside, outside) for name, metric in OOD_METRICS.items()}.items():
                rows.append(own | {"detector": "baseline", "ood_dataset": name, "metric": metric, "value": value})
    return pd.DataFrame(rows), scores


def roc_by_scikit_learn(inside: np.ndarray, outside: np.ndarray) -> tuple[float, float]:
    """AUROC, and FPR where 95 % of the OOD images are found, which are the positive class."""
    is_ood = np.repeat([0, 1], [len(inside), len(outside)])
    fpr, tpr, _ = roc_curve(is_ood, -np.concatenate([inside, outside]), drop_intermediate=False)
    return auc(fpr, tpr), fpr[np.argmax(tpr >= 0.95)]


def test_near_and_far_are_means_over_the_sets_of_a_group_then_over_seeds():
    metrics, scores = make_scored()
    studies = [
        Study((name,), tuple(chain(*groups.values())), ("resnet18",), ("standard", "fig"), ("baseline",), groups=groups)
        for name, groups in GROUPS.items()
    ]
    made = make_target(TARGETS["openood"], make_results(metrics), Selection(tuple(studies), SEEDS))
    assert made.table_values is not None
    columns = ["id_dataset", "variant", "measure", "group", "ood_dataset"]
    values = made.table_values.set_index(columns)
    for (id_dataset, groups), variant in product(GROUPS.items(), ("standard", "fig")):
        for group, names in groups.items():
            each = [
                [roc_by_scikit_learn(*scores[id_dataset, variant, seed, name]) for name in names] for seed in SEEDS
            ]  # seeds, sets, measures
            by_seed = np.mean(each, axis=1)
            for column, measure in enumerate(("auroc", "fpr95_ood_positive")):
                row = values.loc[id_dataset, variant, measure, group, ""]
                assert row["mean"] == pytest.approx(by_seed[:, column].mean()) and row["seeds"] == 3
                assert row["sd"] == pytest.approx(np.std(by_seed[:, column]))  # of the population
                for place, name in enumerate(names):
                    own = np.array(each)[:, place, column]
                    row = values.loc[id_dataset, variant, measure, group, name]
                    assert (row["mean"], row["sd"]) == pytest.approx((own.mean(), own.std()))
    (table,) = made.tables
    assert list(table.cells) == [
        *("id_dataset", "network", "variant", "detector", "near AUROC ↑", "far AUROC ↑"),
        *("near FPR at 95 % TPR, OOD positive ↓", "far FPR at 95 % TPR, OOD positive ↓", "accuracy ↑"),
    ]
    assert set(table.cells["accuracy ↑"]) == {"91.00 ± 0.82"} and len(table.cells) == 4 and not table.notes


def test_a_gain_over_a_control_is_the_mean_of_pairs_with_students_interval():
    metrics, _ = make_scored()
    lower = (metrics["variant"] == "fig") & (metrics["metric"] == "accuracy")
    metrics.loc[lower, "value"] -= 0.005 * (1 + metrics["seed"])  # gains of -0.5, -1 and -1.5 points
    groups = GROUPS["cifar10"]
    names = ("cifar10",), tuple(chain(*groups.values())), ("resnet18",), ("standard", "fig"), ("baseline",)
    study = Study(*names, groups=groups, controls={"fig": ("standard",)})
    made = make_target(TARGETS["gains"], make_results(metrics), Selection((study,), SEEDS))
    assert made.table_values is not None
    values = made.table_values.set_index("group")
    assert set(made.table_values["variant"]) == {"fig"} and set(made.table_values["control"]) == {"standard"}
    aurocs = metrics[(metrics["metric"] == "auroc") & (metrics["id_dataset"] == "cifar10")]
    wide = aurocs.pivot(index="seed", columns=["variant", "ood_dataset"], values="value")
    for group, sets in groups.items():
        pairs = (wide[variant][list(sets)].mean(axis=1) for variant in ("fig", "standard"))
        tested, row = ttest_rel(*pairs), values.loc[group]
        low, high = tested.confidence_interval()
        gain = (wide["fig"] - wide["standard"])[list(sets)].to_numpy().mean()
        assert (row["gain"], row["low"], row["high"]) == pytest.approx((gain, low, high)) and row["seeds"] == 3
    (table,) = made.tables
    assert list(table.cells) == [
        *("id_dataset", "network", "variant", "detector", "over"),
        *("near AUROC gain ↑", "far AUROC gain ↑", "accuracy gain ↑"),
    ]
    assert {explain_column(name)[0] for name in table.cells if name.endswith("↑")} == {"points"}
    assert list(table.cells["accuracy gain ↑"]) == ["-1.0 (-2.2 to +0.2)"]


def test_the_figure_of_gains_has_a_row_for_each_control_and_fills_the_dots_whose_interval_excludes_zero():
    metrics, _ = make_scored()
    lower = (metrics["variant"] == "fig") & (metrics["metric"] == "accuracy")
    metrics.loc[lower, "value"] -= 0.005 * (1 + metrics["seed"])  # -1.0 (-2.2 to +0.2)
    far = (metrics["variant"] == "fig") & metrics["ood_dataset"].isin(GROUPS["cifar10"]["far"])
    metrics.loc[far, "value"] = 0.25 - 0.001 * metrics["seed"]
    groups = GROUPS["cifar10"]
    names = ("cifar10",), tuple(chain(*groups.values())), ("resnet18",), ("standard", "fig"), ("energy", "baseline")
    study = Study(*names, groups=groups, controls={"fig": ("standard", "fig")})
    selection = Selection((study,), SEEDS, {"cifar10": "CIFAR10"})
    made = make_target(TARGETS["gains"], make_results(metrics), selection)
    assert made.figure is not None and made.figure_values is not None
    panels = {axes.get_title(): axes for axes in made.figure.axes}
    assert list(panels) == ["near", "far", "accuracy"]
    labels = panels["near"].get_yticklabels()
    assert [each.get_text() for each in labels] == ["FIG", "over standard", "over FIG"]
    assert panels["near"].get_ylabel() == "CIFAR10 · ResNet18"
    values = made.figure_values.query("control == 'standard'")
    assert set(values["detector"]) == {"baseline"}  # by which it is compared
    for row in values.itertuples():
        zero, bar, dot, *_ = panels[row.group or "accuracy"].get_lines()
        assert list(dot.get_xdata()) == [100 * row.gain] and list(dot.get_ydata()) == [-1]
        assert list(bar.get_xdata()) == [100 * row.low, 100 * row.high] and list(zero.get_xdata()) == [0, 0]
        assert (dot.get_markerfacecolor() == "white") == (row.low <= 0 <= row.high)
    worse = {row.group: row.high < 0 for row in values.itertuples()}
    assert worse["far"] and not worse[""]


def test_a_gain_without_its_pair_is_left_out_of_the_mean_and_counted():
    metrics, _ = make_scored()
    groups = {"near": GROUPS["cifar10"]["near"]}
    study = Study(("cifar10",), groups["near"], ("resnet18",), ("standard", "fig"), ("baseline",), (), groups)
    study = replace(study, controls={"fig": ("standard",)})
    lacking = (metrics["variant"] == "standard") & (metrics["seed"] > 0)
    made = make_target(TARGETS["gains"], make_results(metrics[~lacking]), Selection((study,), SEEDS))
    (table,) = made.tables
    cell = table.cells["near AUROC gain ↑"][0]
    assert cell.endswith("(1 of 3 seeds)") and "to" not in cell


def test_a_seed_that_is_missing_is_named_and_its_cells_say_so():
    metrics, _ = make_scored()
    groups = GROUPS["cifar10"]
    study = Study(("cifar10",), tuple(chain(*groups.values())), ("resnet18",), ("fig",), ("baseline",), groups=groups)
    lacking = (metrics["seed"] == 2) & (metrics["ood_dataset"] == "svhn-r-centre")
    made = make_target(TARGETS["openood"], make_results(metrics[~lacking]), Selection((study,), SEEDS))
    (table,) = made.tables
    cells = table.cells.iloc[0]
    assert cells["far AUROC ↑"].endswith("(2 of 3 seeds)") and "seeds" not in cells["near AUROC ↑"]
    assert list(table.notes) == [
        "Missing of cifar10/resnet18: fig (2): its metrics lack some of what is asked: evaluate it again."
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"groups": {"near": ["photos-c"]}}, "groups.near: unknown OOD set of the study 'photos-c'"),
        ({"groups": {"near": ["photos-r-nearest"] * 2}}, "groups.near names 'photos-r-nearest' twice"),
        ({"targets": ["openood"]}, "openood averages over groups of OOD sets: state the study's groups"),
        ({"targets": ["gains"]}, "gains compares variants with their controls: state the study's controls"),
        ({"controls": {"fog": ["standard"]}}, "controls: unknown variant of the study 'fog'"),
        ({"controls": {"fig": ["fig"]}}, "controls.fig: unknown other variant of the study 'fig'"),
        ({"controls": {"fig": ["standard"] * 2}}, "controls.fig names 'standard' twice"),
        ({"groups": {"near": []}}, "groups.near is []: it must be a list of at least 1"),
    ],
)
def test_groups_are_of_the_studys_own_ood_sets(change: dict, sentence: str):
    stated = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text())
    stated["studies"][0] |= {"ood_datasets": ["photos-r-nearest"], **change}
    with pytest.raises(ConfigError, match=r"studies\[0\]") as refused:
        complete_config(stated)
    assert sentence in str(refused.value)


def test_a_studys_ood_sets_are_those_of_its_groups_unless_they_are_named():
    stated = yaml.safe_load((ROOT / "tests/tiny.yaml").read_text())
    stated["studies"][0] |= {"groups": {"near": ["photos-c"], "far": ["photos-r-nearest", "photos-c"]}}
    del stated["studies"][0]["ood_datasets"]
    study = complete_config(stated).studies[0]
    assert study.ood_datasets == ("photos-c", "photos-r-nearest")
    assert study.groups == {"near": ("photos-c",), "far": ("photos-r-nearest", "photos-c")}
