"""Figures, and the numbers behind them, from metrics and arrays small enough to check by hand."""

from collections import namedtuple
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from fig.report.probe import draw_probes
from fig.report.results import Results
from fig.report.spectra import Spectrum, measure_excess, measure_spectrum
from fig.report.targets import embedding, k_sweep, resampling, samples, teachers, training
from fig.report.titles import ood_titles, split_ood_name
from support.runs import OOD, PLACE, make_metrics, make_results, make_selection, make_study, read_text

SEEDS = (0, 1)
Probe = namedtuple("Probe", "steps stops mean low high share")


@pytest.fixture
def metrics() -> pd.DataFrame:
    return make_metrics(
        {
            "standard": {0: (0.6, 0.7, 0.8), 1: (0.5, 0.6, 0.7)},
            "fig": {0: (0.8, 0.8, 0.8), 1: (0.6, 0.9, 0.9)},
            "fig-k0": {0: (0.6, 0.7, 0.8), 1: (0.5, 0.6, None)},  # of the second seed an OOD set is missing
        }
    )


CARDS = {
    (*PLACE, variant, seed): {"key": "k", "settings": {"method": method}}
    for (variant, method), seed in product({"standard": {}, "fig": {"K": 0.1}, "fig-k0": {"K": 0.0}}.items(), SEEDS)
}


def holding(**cached: object) -> Results:
    """Results that hold these and no files."""
    results = Results(Path("results/none"), {})
    results.__dict__.update(cached)
    return results


def test_a_mean_over_fewer_seeds_or_ood_sets_is_no_mean(metrics: pd.DataFrame):
    what = make_selection(make_study("standard", "fig-k0", "fig", "fig-k1"))
    values = k_sweep.make(make_results(metrics, cards=CARDS), what).figure_values.set_index("variant")
    assert values.loc["standard", "mean"] == pytest.approx(0.65)
    assert values.loc["fig", "sd"] == pytest.approx(0.0)
    assert values.loc["fig-k0", ["mean", "sd"]].isna().all() and values.loc["fig-k0", "seeds"] == 1
    assert values.loc["fig-k1", ["mean", "K"]].isna().all() and values.loc["fig-k1", "seeds"] == 0


def test_figure_1_draws_each_network_over_k_as_the_cards_have_it(metrics: pd.DataFrame):
    cards = {key: {"settings": {"method": {"K": 0.25} if key[2] == "fig" else {}}} for key in CARDS}
    figure = k_sweep.make(make_results(metrics, cards=cards), make_selection(make_study("standard", "fig"))).figure
    axes, (bars,) = figure.axes[0], figure.axes[0].containers
    assert axes.get_title() == "Digits" and [tick.get_text() for tick in axes.get_xticklabels()] == ["0.25"]
    assert bars.lines[0].get_xydata().tolist() == [[pytest.approx(0.5), pytest.approx(80.0)]]
    assert [line.get_ydata()[0] for line in axes.get_lines() if line.get_linestyle() == "--"] == [pytest.approx(65.0)]


def test_a_figure_of_a_run_with_gaps_says_what_is_missing_and_why(metrics: pd.DataFrame):
    fewer = metrics[(metrics["variant"] != "fig") | (metrics["seed"] != 1)]
    results = make_results(fewer, {(*PLACE, "fig", 1): "it diverged"}, CARDS)
    made = k_sweep.make(results, make_selection(make_study("standard", "fig", "fig-k0")))
    assert "Missing of digits/resnet18: fig (1): it diverged." in read_text(made.figure)
    assert "Missing of digits/resnet18: fig-k0 (1): its metrics lack some of what is asked" in read_text(made.figure)
    values = made.figure_values.set_index("variant")
    assert values["mean"].notna().to_dict() == {"standard": True, "fig": False, "fig-k0": False}


def test_figure_2_is_paired_by_seed_and_marks_what_is_missing(metrics: pd.DataFrame):
    made = teachers.make(make_results(metrics), make_selection(make_study("standard", "fig", "fig-k0")))
    table = made.figure_values.set_index(["variant", "ood_dataset"])
    assert table.loc[("fig", "photos-r-nearest"), "mean"] == pytest.approx(0.2)
    assert table.loc[("fig", "photos-r-nearest"), "sd"] == pytest.approx(np.std([0.1, 0.3], ddof=1))
    assert table.loc[("fig", "average"), "mean"] == pytest.approx(np.mean([0.2, 0.1, 0.0, 0.1, 0.3, 0.2]))
    assert pd.isna(table.loc[("fig-k0", "average"), "mean"])
    texts = [text.get_text() for text in made.figure.axes[0].texts]
    assert texts[:4] == ["+15.0\n± 7.1", "+20.0\n± 14.1", "+10.0\n± 14.1", "+15.0\n± 7.1"]
    assert texts[-2:] == ["missing", "missing"]
    labels = [tick.get_text() for tick in made.figure.axes[0].get_yticklabels()]
    assert labels == ["the student itself (FIG)", "VGG19, fixed"]


def test_an_improvement_needs_the_standard_discriminator(metrics: pd.DataFrame):
    with pytest.raises(ValueError, match="name standard in the study's variants"):
        teachers.make(make_results(metrics), make_selection(make_study("fig")))


def test_teachers_and_ood_sets_have_the_papers_names_and_differ():
    assert teachers.teacher_title("fig-scratch", {"method": "scratch"}) == "none: from scratch"
    stated = {"method": "fig", "teacher": "vgg19/untrained"}
    assert teachers.teacher_title("x", stated) == "VGG19 (untrained), fixed"
    titles = {"a-r-nearest": "A(r)", "a-r-bilinear": "A(r)", "a-c": "A(c)", "a-c-odin": "A(c)", "b-r-nearest": "B(r)"}
    distinct = ["A(r) nearest", "A(r) bilinear", "A(c)", "A(c) odin", "B(r)"]
    assert list(ood_titles(list(titles), titles).values()) == distinct


def histories() -> dict:
    steps = np.arange(10, 60, 10)
    plain = pd.DataFrame({"iteration": steps, "id_confidence": 0.9, "id_energy": -8.0})
    drawing = plain.assign(generated_confidence=np.linspace(0.9, 0.2, 5), generated_energy=-1.0)
    return {(*PLACE, "standard", 0): plain, (*PLACE, "fig", 0): drawing, (*PLACE, "fig", 1): drawing}


def test_figure_3_shows_the_variants_that_draw_samples_and_where_a_random_guess_would_be():
    cards = {(*PLACE, "fig", 0): {"architecture": {"classes": 10}}}
    figure = training.make(holding(histories=histories(), cards=cards), make_selection()).figure
    assert [axes.get_title() for axes in figure.axes] == ["FIG\nDigits · ResNet18", ""]
    *_, samples, chance = figure.axes[0].get_lines()
    np.testing.assert_allclose(samples.get_ydata(), np.linspace(0.9, 0.2, 5))
    np.testing.assert_allclose(chance.get_ydata(), 0.1)
    assert not training.make_finetuning(holding(histories={}), make_selection()).figure.axes


def test_the_sample_figure_shows_the_first_seed_with_confidences(tmp_path: Path):
    folders = {
        (*PLACE, variant, seed): tmp_path / f"{variant}{seed}" for variant in ("standard", "fig") for seed in SEEDS
    }
    for folder in folders.values():
        folder.mkdir()
        images, predicted = np.zeros((16, 8, 8, 3), np.uint8), np.arange(16)
        np.savez(folder / "samples.npz", images=images, confidence=np.full(16, 0.97), predicted=predicted)
    made = samples.make(Results(tmp_path, folders), make_selection(make_study("standard", "fig")))
    assert sum(bool(axes.images) for axes in made.figure.axes) == len(made.figure_values) == 2 * samples.SHOWN
    assert made.figure.axes[1].get_xlabel() == "1\n97 %" and set(made.figure_values["seed"]) == {0}


def test_where_no_sample_is_confident_figure_4_says_so():
    arrays = {
        "test": np.zeros((4, 2)),
        "labels": np.arange(4),
        "generated": np.ones((2, 2)),
        "confidence": np.array([0.5, 0.6]),
        "drawn": np.array(30),
        "above": np.array(0),
        "confident": np.array(0.9),
    }
    note = embedding.draw_embeddings({(*PLACE, "fig", 0): arrays}, {}, "").axes[0].get_xlabel()
    assert "0 of 30" in note and "the 2 nearest to it (0.50 to 0.60)" in note
    assert embedding.list_points(arrays)["kind"].value_counts().to_dict() == {"test": 4, "sample": 2}


@pytest.mark.parametrize(
    ("wanted", "found", "said"),
    [
        ("dog", 0, "none is predicted as dog"),
        ("dog", 9, "the first of 9 predicted as dog"),
        ("", 64, "the first, of 64"),
    ],
)
def test_figure_5_says_what_there_was_of_the_wanted_class(wanted: str, found: int, said: str, tmp_path: Path):
    arrays = {
        "images": np.zeros((3, 4, 4, 3), np.uint8),
        "confidence": np.array([0.5, 0.25, 1.0]),
        "predicted": np.array(["cat", "dog", "cat"]),
        "wanted": np.array(wanted),
        "found": np.array(found),
        "chains": np.array(64),
        "steps": np.array(500),
        "mean_confidence": np.array(0.5),
    }
    np.savez(tmp_path / "chains.npz", **arrays)
    made = samples.make_fig5(Results(tmp_path, {(*PLACE, "fig", 0): tmp_path}), make_selection())
    title = made.figure.subfigs[0].get_suptitle()
    assert said in title and "500 steps" in title
    assert [axes.get_xlabel() for axes in made.figure.axes] == ["cat\n50 %", "dog\n25 %", "cat\n100 %"]
    assert made.figure_values["chains"].tolist() == [64] * 3


def grey(luminance: np.ndarray) -> np.ndarray:
    """Images of this luminance in [0, 255]: (N, size, size) -> uint8 (N, size, size, 3)."""
    return np.repeat(luminance.round().clip(0, 255)[..., None], 3, axis=-1).astype(np.uint8)


def test_white_noise_has_its_variance_at_every_frequency():
    noise = np.random.default_rng(0).normal(128, 20, (400, 32, 32))
    found = measure_spectrum(grey(noise))
    np.testing.assert_allclose(found.frequency, np.arange(1, 17) / 32)
    variance = (20 / 255) ** 2
    np.testing.assert_allclose(found.power[1:], variance, rtol=0.06)
    assert found.power[0] == pytest.approx(variance, rel=0.2)  # taking the mean away takes a part of it


@pytest.mark.parametrize("cycles", [3, 6, 12])
def test_a_cosine_is_a_peak_at_its_frequency_that_a_window_spreads_by_one(cycles: int):
    wave = 128 + 100 * np.cos(2 * np.pi * cycles * np.arange(32) / 32)
    found = measure_spectrum(grey(np.broadcast_to(wave, (1, 32, 32))))
    assert found.frequency[found.power.argmax()] == pytest.approx(cycles / 32)
    near = np.abs(found.frequency * 32 - cycles) <= 2
    assert found.power[~near].sum() < 1e-3 * found.power.sum()


def test_twice_the_contrast_is_four_times_the_power_so_an_excess_of_two():
    noise = np.random.default_rng(1).normal(0, 10, (100, 16, 16))
    one, twice = measure_spectrum(grey(128 + noise)), measure_spectrum(grey(128 + 2 * noise))
    assert measure_excess(twice, one) == pytest.approx(2, abs=0.05)
    assert measure_excess(one, one) == 0


def test_gains_are_compared_with_the_excess_of_high_frequencies_by_rank_correlation(
    metrics: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
):
    sets = dict(zip((PLACE[0], *OOD), (1.0, 2.0, 8.0, 0.5), strict=True))
    flat = {PLACE[0]: {name: Spectrum(np.arange(1, 9) / 16, np.full(8, power)) for name, power in sets.items()}}
    monkeypatch.setattr(resampling, "find_spectra", lambda *_: flat)
    made = resampling.make(make_results(metrics), make_selection(make_study("standard", "fig", "fig-k0")))
    nearest = made.table_values.set_index(["column", "ood_dataset"]).loc[("gain of fig", "photos-r-nearest")]
    assert nearest[["source", "way", "excess"]].tolist() == ["photos", "r nearest", 3]
    assert nearest["mean"] == pytest.approx(0.2)
    (sentence,) = [note for note in made.tables[0].notes if "Spearman" in note]  # of fig-k0 a gain is missing
    own = [spearmanr([1, 3, -1], gained).statistic for gained in ([0.2, 0.1, 0.0], [0.1, 0.3, 0.2])]
    assert f"of fig with the excess is +1.00 ({min(own):+.2f} to {max(own):+.2f} for single seeds)" in sentence
    assert "over 3 OOD sets" in sentence and "2 sources" in sentence and "no p-value" in sentence
    assert "fig-k0 (1): its metrics lack" in made.tables[0].notes[-1]
    assert "—" in made.tables[0].cells["gain of fig-k0"].tolist()
    assert made.figure.axes[1].get_title() == "FIG · ResNet18\nrank correlation +1.00"


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("photos-c", ("photos", "c")),
        ("tiny-jpeg-r-nearest", ("tiny-jpeg", "r nearest")),
        ("lsun-c-odin", ("lsun", "c odin")),
    ],
)
def test_the_name_of_an_ood_set_tells_split_ood_name(name: str, made: tuple[str, str]):
    assert split_ood_name(name) == made


def test_the_figure_of_a_probe_has_confidence_shares_and_stops_against_steps():
    probe = Probe(4.0, [2, 6], np.linspace(0.1, 1, 8), np.zeros(8), np.ones(8), np.linspace(0, 1, 8))
    figure = draw_probes({"standard": probe, "fig": probe})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["standard", "fig"]
    assert figure.axes[2].get_lines()[0].get_ydata().tolist() == [0, 0, 0.5, 0.5, 0.5, 0.5, 1, 1]
