"""Paired comparisons and ranks, against closed forms, scipy and numbers that are printed elsewhere."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fig.report.measures import find_comparable, select_to_rank
from fig.report.results import METRICS
from fig.report.statistics import critical_difference, interval_over_both, interval_over_seeds, rank_methods
from fig.report.targets.paired import draw_diagram, make
from fig.report.titles import split_ood_name
from fig.study.selection import Selection, Study
from support.runs import make_results, read_text

SETS = ("lsun-r-odin", "lsun-c-odin", "photos-c")
METHODS = ("standard", "fig", "gaussian")
TITLES = {"cifar10": "CIFAR10", "svhn": "SVHN"}
LEVELS = {"standard": 0.0, "fig": 0.2, "gaussian": 0.05}  # above the seed's own level


def shown(*methods: str, id_datasets: tuple[str, ...] = ("cifar10",)) -> Selection:
    study = Study(id_datasets, SETS, ("resnet18",), methods or METHODS, ("baseline",))
    return Selection((study,), (0, 1, 2), TITLES)


def metrics(what: Selection, wobble: float = 0.0) -> pd.DataFrame:
    """AUROCs that differ much between seeds and OOD sets, and between methods by their levels."""
    generator = np.random.default_rng(0)
    rows = []
    for key in what.list_keys():
        for number, ood in enumerate(SETS):
            value = 0.5 + 0.1 * key[3] + 0.02 * number + LEVELS[key[2]] + wobble * generator.normal()
            named = dict(zip(METRICS, (*key, "key", "baseline", ""), strict=False))
            rows.append({**named, "ood_dataset": ood, "metric": "auroc", "value": value})
    return pd.DataFrame(rows, columns=METRICS)


def compare(found: pd.DataFrame, what: Selection) -> pd.DataFrame:
    """The values of the paired comparison."""
    return make(make_results(found), what).table_values


def test_the_interval_over_seeds_is_that_of_students_test():
    values = np.array([0.01, 0.04, -0.02])
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval_over_seeds(values) == pytest.approx((theirs.low, theirs.high))
    assert np.isnan(interval_over_seeds(values[:1])).all()


def test_the_bootstrap_agrees_with_scipys_where_only_seeds_differ():
    seeds = np.random.default_rng(1).normal(size=12)
    theirs = stats.bootstrap((seeds,), np.mean, n_resamples=10_000, method="percentile", rng=0).confidence_interval
    ours = interval_over_both(np.repeat(seeds[:, None], 4, axis=1), ["a", "a", "b", "b"])
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_the_bootstrap_adds_the_variances_of_seeds_and_sources():
    generator = np.random.default_rng(2)
    seeds, sources = generator.normal(size=40), 2 * generator.normal(size=30)
    low, high = interval_over_both(
        seeds[:, None] + np.repeat(sources, 2)[None], np.repeat(np.arange(30), 2).astype(str)
    )
    deviation = np.sqrt(seeds.var() / 40 + sources.var() / 30)
    assert (high - low) / 2 == pytest.approx(1.96 * deviation, rel=0.05)


def test_the_bootstrap_is_too_narrow_for_three_seeds_and_four_sources_as_is_said():
    generator = np.random.default_rng(3)
    covered = []
    for _ in range(150):
        seeds, sources = generator.normal(size=(3, 1)), np.repeat(generator.normal(size=4), 2)
        low, high = interval_over_both(seeds + sources + 0.3 * generator.normal(size=(3, 8)), list("aabbccdd"))
        covered.append(low <= 0 <= high)
    assert 0.7 < np.mean(covered) < 0.9


def test_a_sources_sets_count_as_one():
    assert {split_ood_name(name)[0] for name in ("photos-r-nearest", "photos-c", "photos-r-odin")} == {"photos"}
    values = np.array([[0.0, 0.0, 0.3], [0.0, 0.0, 0.3]])
    assert interval_over_both(values, ["a", "a", "b"]) == pytest.approx((0.0, 0.3))
    assert np.isnan(interval_over_both(values, ["a", "a", "a"])).all()
    assert np.isnan(interval_over_both(values[:1], ["a", "a", "b"])).all()


def test_differences_are_paired_by_seed_and_ood_set():
    what = shown()
    table = compare(metrics(what), what).set_index("variant")
    assert table.loc["gaussian", ["difference", "low", "high", "low_both", "high_both"]].tolist() == pytest.approx(
        [0.15] * 5
    )
    assert table.loc["standard", ["seeds", "ood_datasets", "better"]].tolist() == [3, 3, 3]
    assert table.loc["gaussian", "paper"] == pytest.approx(0.95 - 0.917) and table.loc[
        "standard", "paper"
    ] == pytest.approx(0.038)


def test_a_seed_that_lacks_an_ood_set_is_left_out_of_its_comparisons_and_named():
    what = shown()
    whole = metrics(what, wobble=0.01)
    lacking = (whole["variant"] == "gaussian") & (whole["seed"] == 2) & (whole["ood_dataset"] == "photos-c")
    table = compare(whole[~lacking], what).set_index("variant")
    two = compare(whole[whole["seed"] < 2], what).set_index("variant")
    assert table.loc["gaussian", "difference"] == two.loc["gaussian", "difference"]
    assert table["seeds"].to_dict() == {"standard": 3, "gaussian": 2}
    (shown_table,) = make(make_results(whole[~lacking]), what).tables
    assert "Missing of cifar10/resnet18: gaussian (2)" in "".join(shown_table.notes)
    ranked, dropped = select_to_rank(find_comparable(whole[~lacking], what))
    assert (len(ranked), dropped) == (2, 1)


def test_the_comparison_on_all_leaves_out_what_lacks_seeds():
    what = shown(id_datasets=("cifar10", "svhn"))
    whole = metrics(what, wobble=0.01)
    everything = compare(whole, what).query("id_dataset == 'all' and variant == 'gaussian'")
    assert everything["ood_datasets"].item() == 6 and everything["reason"].item() == ""
    partly = compare(whole[(whole["id_dataset"] == "cifar10") | (whole["seed"] < 2)], what)
    of_all = partly.query("id_dataset == 'all' and variant == 'gaussian'")
    assert (
        of_all["difference"].item()
        == partly.query("id_dataset == 'cifar10' and variant == 'gaussian'")["difference"].item()
    )
    assert (everything["network"].item(), of_all["network"].item()) == ("all", "all but 1")


def test_the_critical_difference_is_the_printed_one():
    printed = {
        2: 1.960,
        3: 2.343,
        4: 2.569,
        5: 2.728,
        6: 2.850,
        7: 2.949,
        8: 3.031,
        9: 3.102,
        10: 3.164,
    }  # Demšar (2006), Table 5
    for count, quantile in printed.items():
        unit = np.sqrt(count * (count + 1) / 6)
        assert critical_difference(count, 1) == pytest.approx(quantile * unit, abs=0.0011 * unit)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)  # his example


def test_ranks_are_means_over_blocks_and_equal_values_share_one():
    values = np.array([[0.9, 0.8, 0.7], [0.9, 0.9, 0.1], [0.5, 0.6, 0.4]])
    found = rank_methods(["a", "b", "c"], values)
    assert found.means == pytest.approx(((1 + 1.5 + 2) / 3, (2 + 1.5 + 1) / 3, 3.0))
    assert found.p_value == pytest.approx(stats.friedmanchisquare(*values.T).pvalue)


def bars(levels: np.ndarray) -> list[tuple[float, float]]:
    """The least and the largest rank under each bar of the diagram of methods with these values."""
    figure = draw_diagram(rank_methods("abcd", levels), "")
    lines = [line.get_xydata() for line in figure.axes[0].get_lines()]
    return sorted(
        (line[:, 0].min(), line[:, 0].max()) for line in lines if len(set(line[:, 1])) == 1 and line[0, 1] < 0
    )


def test_methods_that_do_not_differ_are_joined_in_the_largest_groups():
    strictly = np.tile([0.9, 0.8, 0.7, 0.6], (4, 1))  # ranks 1 to 4, and a critical difference of 2.35
    assert bars(strictly) == [(1.0, 3.0), (2.0, 4.0)]
    assert bars(np.tile(strictly, (10, 1))) == []


def test_the_figure_names_every_method_with_its_rank():
    what = shown()
    made = make(make_results(metrics(what)), what)
    assert all(name in read_text(made.figure) for name in ("fig 1.00", "gaussian 2.00", "3.00 standard"))
    assert made.figure_values["variant"].tolist() == ["fig", "gaussian", "standard"]
    nothing = make(make_results(metrics(what)[:0]), what).figure
    assert nothing.texts[0].get_text() == "There is nothing to rank; 3 more lack seeds."
