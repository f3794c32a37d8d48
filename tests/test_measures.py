"""What is comparable, averaged and compared, on runs small enough to do by hand."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import pytest

from fig.report.measures import (
    add_harmonic_means,
    ask,
    ask_comparable,
    average_over_seeds,
    average_over_sets,
    choose_detector,
    compare_all,
    difference_to,
    find_by_protocol,
    find_comparable,
    find_lacking,
    gains_by_setting,
    gains_over_standard,
    gather_rows,
    is_compared,
    pair_with_standard,
    select_shared_sets,
    select_to_rank,
    tidy_by_seed,
)
from fig.study.selection import Selection, Study
from support.runs import make_metrics

NAN = float("nan")
SETS = ("lsun", "coco")
HERE = ("digits", "resnet18")
THERE = ("digits", "vgg19")


def study(*variants: str, detectors: Sequence[str] = ("baseline",), ood: Sequence[str] = SETS) -> Study:
    return Study(HERE[:1], tuple(ood), HERE[1:], variants, tuple(detectors))


def select(*studies: Study, seeds: Sequence[int] = (0, 1)) -> Selection:
    return Selection(studies, tuple(seeds), {"digits": "Digits"})


def score(aurocs: dict, detector: str = "baseline", protocol: str = "", place: tuple = HERE) -> pd.DataFrame:
    """Rows of metrics.csv of these AUROCs, variant -> seed -> one for each of SETS, and an accuracy of 0.9."""
    return make_metrics(aurocs, detector, protocol, SETS, place)


def join(*frames: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True).drop_duplicates(ignore_index=True)


def rows_of(table: pd.DataFrame, *columns: str) -> list[tuple]:
    return list(table[list(columns) or list(table.columns)].itertuples(index=False, name=None))


def values_of(table: pd.DataFrame, *by: str, value: str = "value") -> dict:
    """The values by these columns, each of which is there once; approximately."""
    keys = [key if len(key) > 1 else key[0] for key in rows_of(table, *by)]
    assert len(set(keys)) == len(keys)
    return pytest.approx(dict(zip(keys, table[value], strict=True)), nan_ok=True)


def check_rows(table: pd.DataFrame) -> None:
    """Rows are numbered from 0, as a CSV file's are."""
    assert table.index.tolist() == list(range(len(table)))


def test_a_variant_has_one_detector_its_methods_own_or_the_baseline_or_the_studies_first():
    assert choose_detector(["odin", "baseline", "deconf"]) == "deconf"
    assert choose_detector(["odin", "baseline"]) == "baseline"
    assert choose_detector(["odin", "gram"]) == "odin"


def test_what_is_asked_is_every_combination_of_a_study_once():
    studies = (
        Study(("digits", "svhn"), SETS, ("resnet18", "vgg19"), ("standard", "fig"), ("odin", "baseline")),
        Study(("digits",), ("lsun", "noise"), ("vgg19",), ("fig",), ("baseline",)),
    )
    asked = ask(studies)
    wanted = set(product(("digits", "svhn"), ("resnet18", "vgg19"), ("standard", "fig"), ("odin", "baseline"), SETS))
    wanted |= {("digits", "vgg19", "fig", "baseline", "noise")}
    found = rows_of(asked, "id_dataset", "network", "variant", "detector", "ood_dataset")
    assert set(found) == wanted and len(found) == len(wanted)
    assert asked["id_dataset"].drop_duplicates().tolist() == ["digits", "svhn"]
    check_rows(asked)


def test_a_variant_is_asked_for_under_the_one_detector_that_all_its_studies_choose():
    studies = (
        study("standard", "fig", detectors=("odin", "gram")),
        study("fig", detectors=("baseline",), ood=("noise",)),
        study("deconf", detectors=("baseline", "deconf")),
    )
    asked = ask_comparable(studies)
    found = {variant: set(rows_of(rows, "detector", "ood_dataset")) for variant, rows in asked.groupby("variant")}
    assert found == {
        "standard": {("odin", "lsun"), ("odin", "coco")},
        "fig": {("baseline", "lsun"), ("baseline", "coco"), ("baseline", "noise")},
        "deconf": {("deconf", "lsun"), ("deconf", "coco")},
    }
    assert len(asked) == 7
    check_rows(asked)


def test_a_comparable_value_is_an_auroc_of_a_protocol_that_id_images_alone_chose():
    metrics = join(
        score({"fig": {0: (0.8, 0.7)}}, "odin", "id-only"),
        score({"fig": {0: (0.99, 0.98), 1: (0.97, 0.96)}}, "odin", "oracle"),
        score({"fig": {0: (0.5, 0.4)}}, "gram"),
    )
    other = metrics[metrics["metric"] == "auroc"].assign(metric="detection_error", value=0.1)
    found = find_comparable(join(other, metrics), select(study("fig", detectors=("odin",))))
    assert values_of(found, "seed", "ood_dataset") == {
        (0, "lsun"): 0.8,
        (0, "coco"): 0.7,
        (1, "lsun"): NAN,
        (1, "coco"): NAN,
    }
    assert list(found) == ["id_dataset", "network", "variant", "seed", "ood_dataset", "value"]


def test_of_a_value_that_is_there_twice_the_first_counts():
    metrics = pd.concat([score({"fig": {0: (0.8, 0.7)}}), score({"fig": {0: (0.1, 0.2)}})])
    found = find_comparable(metrics, select(study("fig"), seeds=[0]))
    assert values_of(found, "ood_dataset") == {"lsun": 0.8, "coco": 0.7}


def test_values_read_as_texts_are_numbers():
    metrics = score({"fig": {0: (0.8, 0.7)}}).astype({"seed": object, "value": object})
    found = find_comparable(metrics, select(study("fig"), seeds=[0]))
    assert found["value"].dtype == float and found["value"].sum() == pytest.approx(1.5)


def test_a_variant_is_found_under_every_detector_and_protocol_but_the_grid():
    metrics = join(
        score({"fig": {0: (0.8, 0.7)}, "jcl": {0: (0.3, 0.3)}}, "odin", "id-only"),
        score({"fig": {0: (0.99, 0.98)}}, "odin", "oracle"),
        score({"fig": {0: (0.1, 0.1)}}, "odin", "grid"),
    )
    selection = select(study("fig", "jcl", detectors=("odin", "gram")), seeds=[0])
    found = find_by_protocol(metrics, selection, ["fig"])
    assert values_of(found, "variant", "detector", "protocol", "ood_dataset") == {
        ("fig", "odin", "id-only", "lsun"): 0.8,
        ("fig", "odin", "id-only", "coco"): 0.7,
        ("fig", "odin", "oracle", "lsun"): 0.99,
        ("fig", "odin", "oracle", "coco"): 0.98,
        ("fig", "gram", "", "lsun"): NAN,
        ("fig", "gram", "", "coco"): NAN,
    }


def test_discriminators_that_lack_a_value_are_listed_once():
    found = find_comparable(
        score({"standard": {0: (0.5, 0.5), 1: (0.5, None)}, "fig": {0: (0.6, 0.6)}}), select(study("standard", "fig"))
    )
    assert sorted(find_lacking(found)) == [(*HERE, "fig", 1), (*HERE, "standard", 1)]


def test_a_row_is_compared_under_its_variants_detector_and_a_comparable_protocol():
    metrics = join(
        score({"fig": {0: (0.8, 0.7)}}, "odin", "id-only"),
        score({"fig": {0: (0.8, 0.7)}}, "odin", "oracle"),
        score({"fig": {0: (0.8, 0.7)}}, "gram"),
        score({"jcl": {0: (0.8, 0.7)}}, "odin", "id-only"),
        score({"jcl": {0: (0.8, 0.7)}}),
    )
    chosen = set(rows_of(metrics[is_compared(metrics)], "variant", "detector", "protocol"))
    assert chosen == {("fig", "odin", "id-only"), ("jcl", "baseline", "")}
    assert is_compared(metrics).sum() == 4


def test_shared_sets_are_those_that_every_seed_variant_and_detector_of_a_network_was_scored_on():
    metrics = join(
        score({"standard": {0: (0.5, 0.5), 1: (0.5, 0.5)}, "fig": {0: (0.5, 0.5), 1: (0.5, None)}}),
        score({"standard": {0: (0.5, 0.5)}}, "odin"),
        score({"standard": {0: (None, 0.5)}}, place=THERE),
    )
    more = metrics[metrics["metric"] == "auroc"].assign(metric="detection_error")
    kept = select_shared_sets(join(metrics, more))
    assert set(rows_of(kept, "network", "ood_dataset")) == {
        ("resnet18", "lsun"), ("vgg19", "coco"), ("resnet18", ""), ("vgg19", "")
    }  # fmt: skip
    assert len(kept) == 2 * (5 + 1) + 4 + 1


def test_a_mean_over_sets_is_missing_where_one_value_is():
    values = find_comparable(score({"fig": {1: (0.8, 0.6), 0: (0.8, None)}}), select(study("fig"), seeds=[1, 0]))
    found = average_over_sets(values)
    assert values_of(found, "variant", "seed") == {("fig", 1): 0.7, ("fig", 0): NAN}
    assert list(found) == ["id_dataset", "network", "variant", "seed", "value"]
    assert found["seed"].tolist() == [1, 0]  # as they come


def test_a_mean_over_seeds_is_missing_or_partial_where_one_seed_is():
    values = pd.DataFrame({"variant": ["b"] * 3 + ["a"] * 3 + ["c"], "value": [0.1, 0.2, 0.6, 0.3, NAN, 0.5, 0.4]})
    whole, partly = average_over_seeds(values, ["variant"]), average_over_seeds(values, ["variant"], partly=True)
    assert whole["variant"].tolist() == partly["variant"].tolist() == ["b", "a", "c"]  # as they come
    assert list(whole) == list(partly) == ["variant", "mean", "sd", "seeds"]
    assert values_of(whole, "variant", value="mean") == {"b": 0.3, "a": NAN, "c": 0.4}
    assert values_of(partly, "variant", value="mean") == {"b": 0.3, "a": 0.4, "c": 0.4}
    of_population = average_over_seeds(values, ["variant"], ddof=0)
    assert values_of(of_population, "variant", value="sd") == {"b": np.std([0.1, 0.2, 0.6]), "a": NAN, "c": NAN}
    deviations = {"b": np.std([0.1, 0.2, 0.6], ddof=1), "a": NAN, "c": NAN}
    assert values_of(whole, "variant", value="sd") == deviations
    assert values_of(partly, "variant", value="sd") == deviations | {"a": np.std([0.3, 0.5], ddof=1)}
    assert partly["seeds"].tolist() == whole["seeds"].tolist() == [3, 2, 1]


def test_rows_of_one_kind_are_gathered_in_the_order_in_which_they_come():
    names = [name for name in "bacbca" for _ in range(20)]  # long: a sort that is not stable shows
    table = pd.DataFrame({"name": names, "number": range(len(names))}, index=range(100, 100 + len(names)))
    gathered = gather_rows(table, ["name"])
    assert rows_of(gathered) == [row for name in "bac" for row in rows_of(table) if row[0] == name]
    check_rows(gathered)


LEVELS = {"standard": {0: (0.5, 0.6), 1: (0.4, None)}, "fig": {0: (0.8, 0.7), 1: (0.6, 0.9)}}


def test_a_variant_is_paired_with_standard_of_the_same_seed_and_set():
    selection = select(study("standard", "fig"), study("fig", ood=("noise",)), seeds=[0])
    pairs = pair_with_standard(find_comparable(score(LEVELS), selection))
    assert set(pairs["variant"]) == {"fig"}
    assert values_of(pairs, "seed", "ood_dataset", value="standard") == {
        (0, "lsun"): 0.5, (0, "coco"): 0.6, (0, "noise"): NAN
    }  # fmt: skip
    gains = gains_over_standard(find_comparable(score(LEVELS), select(study("standard", "fig"))))
    assert values_of(gains, "seed", "ood_dataset") == {
        (0, "lsun"): 0.3, (0, "coco"): 0.1, (1, "lsun"): 0.2, (1, "coco"): NAN
    }  # fmt: skip
    assert "standard" not in gains


def test_a_gain_without_standard_is_refused():
    with pytest.raises(ValueError, match="name standard in the study's variants"):
        gains_over_standard(find_comparable(score(LEVELS), select(study("fig"))))


def test_gains_by_setting_are_of_all_settings_but_the_grid_on_shared_sets_and_pairs_that_are_whole():
    whole = {"standard": {1: (0.5, 0.6), 0: (0.4, 0.5)}, "fig": {1: (0.8, 0.7), 0: (0.6, 0.9), 2: (0.9, 0.9)}}
    metrics = join(
        score(whole),
        score({"standard": {0: (0.2, 0.1)}, "fig": {0: (0.3, 0.4)}}, "odin", "oracle"),
        score({"standard": {0: (0.2, 0.1)}, "fig": {0: (0.3, 0.4)}}, "odin", "grid"),
        score({"standard": {0: (0.2, 0.1)}}, "gram"),
    )
    noise = metrics[metrics["metric"] == "auroc"].assign(metric="detection_error", value=0.0)
    found = gains_by_setting(join(noise, metrics))
    by = ("variant", "detector", "protocol", "seed")
    baseline, odin = ("fig", "baseline", ""), ("fig", "odin", "oracle")
    assert values_of(found, *by) == {(*baseline, 1): 0.75, (*baseline, 0): 0.75, (*odin, 0): 0.35}
    assert values_of(found, *by, value="standard") == {(*baseline, 1): 0.55, (*baseline, 0): 0.45, (*odin, 0): 0.15}
    assert found["compared"].tolist() == [True, True, False] and found["seed"].tolist() == [1, 0, 0]


def test_harmonic_means_are_of_the_auroc_and_the_accuracy_of_the_same_discriminator():
    metrics = score(LEVELS)
    metrics.loc[(metrics["metric"] == "accuracy") & (metrics["variant"] == "fig"), "value"] = [0.95, 0.85]
    metrics = metrics[(metrics["variant"] != "standard") | (metrics["seed"] == 0) | (metrics["metric"] != "accuracy")]
    aurocs = average_over_sets(find_comparable(metrics, select(study("standard", "fig"))))
    aurocs.index += 10
    found = add_harmonic_means(aurocs, metrics.astype({"seed": object}))
    by = ("variant", "seed")
    keys = [("standard", 0), ("standard", 1), ("fig", 0), ("fig", 1)]
    assert values_of(found, *by, value="accuracy") == dict(zip(keys, (0.9, NAN, 0.95, 0.85), strict=True))
    means = [2 / (1 / 0.55 + 1 / 0.9), NAN, 2 / (1 / 0.75 + 1 / 0.95), 2 / (1 / 0.75 + 1 / 0.85)]
    assert values_of(found, *by, value="harmonic_mean") == dict(zip(keys, means, strict=True))
    assert found["seed"].dtype == int
    empty = add_harmonic_means(aurocs[:0], metrics)
    assert empty["harmonic_mean"].dtype == float and empty.empty


def test_a_seeds_measures_are_all_that_is_known_of_it():
    metrics = join(
        score({"fig": {1: (0.8, 0.7)}, "standard": {1: (0.5, 0.6), 0: (0.4, 0.4)}}),
        score({"fig": {1: (0.9, 0.8)}}, "odin", "id-only"),
        score({"fig": {1: (0.1, 0.1)}}, "odin", "grid"),
        score({"jcl": {0: (0.3, 0.5)}}).query("metric == 'auroc'"),  # whose accuracy is missing
    )
    scored = metrics[metrics["metric"] == "auroc"]
    found = tidy_by_seed(join(metrics, scored.assign(metric="detection_error", value=0.2)))
    assert set(found) == {"id_dataset", "network", "variant", "detector", "protocol", "seed", "measure", "value"}
    by_measure = values_of(found, "variant", "detector", "seed", "measure")
    expected = {}
    for key, (first, second) in {
        ("fig", "baseline", 1): (0.8, 0.7),
        ("standard", "baseline", 1): (0.5, 0.6),
        ("standard", "baseline", 0): (0.4, 0.4),
        ("fig", "odin", 1): (0.9, 0.8),
    }.items():
        mean = (first + second) / 2
        each = {"auroc": mean, "auroc.lsun": first, "auroc.coco": second, "accuracy": 0.9, "detection_error": 0.2}
        each["harmonic_mean"] = 2 / (1 / mean + 1 / 0.9)
        expected |= {(*key, name): value for name, value in each.items()}
    each = {"auroc": 0.4, "gain": 0.0, "auroc.lsun": 0.3, "auroc.coco": 0.5, "detection_error": 0.2}
    expected |= {("jcl", "baseline", 0, name): value for name, value in each.items()}
    assert by_measure == expected | {("fig", "baseline", 1, "gain"): 0.2}
    assert rows_of(found, "variant", "seed")[0] == ("fig", 1)  # as they come
    assert found[found["detector"] == "odin"]["protocol"].eq("id-only").all()
    check_rows(found)


def test_a_run_without_scores_has_no_measures_and_no_accuracies_either():
    accuracies = score({"fig": {0: (None, None)}})
    assert tidy_by_seed(accuracies).empty
    other = score({"fig": {0: (0.2, 0.2)}}).replace({"metric": {"auroc": "detection_error"}})
    found = tidy_by_seed(other)
    assert "auroc" not in set(found["measure"]) and "gain" not in set(found["measure"])


def test_a_run_is_compared_over_the_seeds_that_are_there_in_the_order_of_the_metrics():
    metrics = score({"standard": {0: (0.5, 0.6), 1: (0.4, 0.4)}, "fig": {0: (0.8, 0.7)}})
    found = compare_all(metrics)
    fig = found[found["variant"] == "fig"].set_index("measure")
    assert fig.loc["auroc", ["mean", "seeds"]].tolist() == pytest.approx([0.75, 1])
    assert fig.loc["gain", "mean"] == pytest.approx(0.2) and np.isnan(fig.loc["gain", "sd"])
    unknown = compare_all(score({"standard": {0: (0.5, NAN), 1: (0.5, 0.4)}})).set_index("measure")
    assert unknown.loc["auroc.coco", ["mean", "seeds"]].tolist() == [0.4, 1]
    more = compare_all(join(metrics, score({"standard": {0: (0.5, 0.6)}, "fig": {0: (0.8, 0.7)}}, "odin")))
    assert rows_of(more[more["measure"] == "auroc"], "variant", "detector") == [
        ("standard", "baseline"), ("fig", "baseline"), ("standard", "odin"), ("fig", "odin")
    ]  # fmt: skip


def test_a_difference_is_of_the_sets_and_seeds_that_both_are_asked_for():
    selection = select(study("fig"), study("jcl", ood=("coco", "noise")), seeds=(1, 0))
    values = find_comparable(score({"fig": {0: (0.8, 0.7), 1: (0.6, 0.9)}, "jcl": {0: (0.1, 0.5)}}), selection)
    found = difference_to(values, "jcl")
    assert found.columns.tolist() == [(*HERE, "coco")] and found.index.tolist() == [1, 0]
    assert found.columns.names == ["id_dataset", "network", "ood_dataset"]
    assert found.to_numpy()[:, 0] == pytest.approx([NAN, 0.2], nan_ok=True)
    nothing = difference_to(values, "gaussian")
    assert nothing.shape == (2, 0) and nothing.index.tolist() == [1, 0]


def test_what_is_ranked_is_asked_of_every_variant_and_lacks_no_seed():
    selection = select(study("standard", "fig"), study("standard", ood=("noise",)))
    values = find_comparable(score(LEVELS | {"standard": {0: (0.5, 0.6), 1: (0.3, None)}}), selection)
    table, dropped = select_to_rank(values)
    assert table.index.tolist() == [(*HERE, "lsun")] and dropped == 1
    assert list(table) == ["standard", "fig"]
    assert table.to_numpy()[0] == pytest.approx([0.4, 0.7])
    whole = score({name: {0: (0.5, 0.6), 1: (0.3, 0.2)} for name in LEVELS})
    table, dropped = select_to_rank(find_comparable(whole, select(study(*LEVELS))))
    assert [row[-1] for row in table.index] == ["lsun", "coco"] and dropped == 0
