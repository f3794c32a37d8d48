"""Figures, and the numbers behind them, from metrics and arrays small enough to check by hand."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fig.report.embeddings import figure_of_embeddings, points_of
from fig.report.figures import SAMPLES, finetuning, samples, scores
from fig.report.gaps import note, why_missing
from fig.report.portraits import figure_of_chains
from fig.report.resampling import compared, correlation, figure_of_resampling, table_of
from fig.report.shares import figure_of_shares, shares
from fig.report.studies import Shown, Study
from fig.report.teachers import figure_of_improvements, improvements, teacher_title
from scipy.stats import spearmanr
from torch import nn

from fig.networks.taps import kept_at
from fig.report.spectra import Spectrum, excess, spectrum
from fig.report.titles import ood_titles, source_and_way
from fig.sampler import Samples
from fig.stages import picture as stage
from fig.stages.chains import kept_of, wanted_class
from fig.stages.embedding import FEWEST, penultimate, plane, shown_of

ID, NETWORK = "digits", "resnet18"
OOD = ("photos-c", "photos-r-nearest", "coco-c")
SEEDS = (0, 1)


def study(*variants: str, ood: tuple[str, ...] = OOD) -> Study:
    return Study((ID,), ood, (NETWORK,), variants, ("baseline",))


def rows(variant: str, values: Mapping[int, Iterable[float]], ood: tuple[str, ...] = OOD) -> list[dict]:
    """Rows of metrics: the AUROC of each seed on the OOD sets in turn."""
    names = {
        "id_dataset": ID,
        "network": NETWORK,
        "variant": variant,
        "key": "k",
        "detector": "baseline",
        "protocol": "",
    }
    return [
        names | {"seed": seed, "ood_dataset": name, "metric": "auroc", "value": value}
        for seed, each in values.items()
        for name, value in zip(ood, each, strict=False)
    ]


@pytest.fixture
def metrics() -> pd.DataFrame:
    return pd.DataFrame(
        rows("standard", {0: (0.6, 0.7, 0.8), 1: (0.5, 0.6, 0.7)})
        + rows("fig", {0: (0.8, 0.8, 0.8), 1: (0.6, 0.9, 0.9)})
        + rows("fig-k0", {0: (0.6, 0.7, 0.8), 1: (0.5, 0.6)})  # of the second seed an OOD set is missing
    )


CARDS = {
    (ID, NETWORK, variant, seed): {"key": "k", "settings": {"method": method}}
    for (variant, method), seed in product({"standard": {}, "fig": {"K": 0.1}, "fig-k0": {"K": 0.0}}.items(), SEEDS)
}


def test_a_mean_over_fewer_seeds_or_ood_sets_is_no_mean(metrics: pd.DataFrame):
    values = shares(metrics, CARDS, [study("standard", "fig-k0", "fig", "fig-k1")], SEEDS).set_index("variant")
    assert values.loc["standard", "mean"] == pytest.approx(0.65)
    assert values.loc["fig", "sd"] == pytest.approx(0.0)
    assert values.loc["fig-k0", ["mean", "sd"]].isna().all() and values.loc["fig-k0", "seeds"] == 1
    assert values.loc["fig-k1", ["mean", "K"]].isna().all() and values.loc["fig-k1", "seeds"] == 0


def test_figure_1_draws_each_network_over_k_as_the_cards_have_it(metrics: pd.DataFrame):
    cards = {key: {"settings": {"method": {"K": 0.25} if key[2] == "fig" else {}}} for key in CARDS}
    figure = figure_of_shares(shares(metrics, cards, [study("standard", "fig")], SEEDS), {ID: "Digits"}, "Missing: x")
    axes, (bars,) = figure.axes[0], figure.axes[0].containers
    assert axes.get_title() == "Digits" and [tick.get_text() for tick in axes.get_xticklabels()] == ["0.25"]
    assert bars.lines[0].get_xydata().tolist() == [[pytest.approx(0.5), pytest.approx(80.0)]]
    assert [line.get_ydata()[0] for line in axes.get_lines() if line.get_linestyle() == "--"] == [pytest.approx(65.0)]
    assert "Missing: x" in figure.get_supxlabel()


def test_a_figure_of_a_run_with_gaps_says_what_is_missing_and_the_log_says_why(
    metrics: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for (variant, seed), rows_of_one in metrics.groupby(["variant", "seed"]):
        folder = tmp_path / "discriminators" / ID / NETWORK / variant / str(seed)
        if (variant, seed) != ("fig", 1):
            folder.mkdir(parents=True)
            rows_of_one.to_csv(folder / "metrics.csv", index=False)
            (folder / "discriminator.json").write_text(json.dumps(CARDS[ID, NETWORK, variant, seed]))
    log = tmp_path / "logs" / "finetune" / ID / NETWORK / "fig" / "1.log"
    log.parent.mkdir(parents=True)
    log.write_text("error: it diverged\n")
    figures = []
    monkeypatch.setattr(stage, "write_figure", lambda path, figure: figures.append(figure))
    stage.picture("fig1", json.dumps([asdict(study("standard", "fig", "fig-k0"))]), "[0, 1]", "{}", tmp_path)
    said = " ".join(figures[0].get_supxlabel().split())
    assert "Missing of digits/resnet18: fig (1): it diverged." in said
    assert "Missing of digits/resnet18: fig-k0 (1): its metrics lack some of what is asked" in said
    values = pd.read_csv(tmp_path / "figures" / "fig1.csv").set_index("variant")
    assert values["mean"].notna().to_dict() == {"standard": True, "fig": False, "fig-k0": False}


def test_figure_2_is_paired_by_seed_and_marks_what_is_missing(metrics: pd.DataFrame):
    values = improvements(metrics, [study("standard", "fig", "fig-k0")], SEEDS)
    table = values.set_index(["variant", "ood_dataset"])
    assert table.loc[("fig", "photos-r-nearest"), "mean"] == pytest.approx(0.2)
    assert table.loc[("fig", "photos-r-nearest"), "sd"] == pytest.approx(np.std([0.1, 0.3], ddof=1))
    assert table.loc[("fig", "average"), "mean"] == pytest.approx(np.mean([0.2, 0.1, 0.0, 0.1, 0.3, 0.2]))
    assert pd.isna(table.loc[("fig-k0", "average"), "mean"])
    stated = {"fig": {"method": "fig"}, "fig-k0": {"method": "fig", "teacher": "vgg19"}}
    figure = figure_of_improvements(values, stated, {ID: "Digits"})
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[:4] == ["+15.0\n± 7.1", "+20.0\n± 14.1", "+10.0\n± 14.1", "+15.0\n± 7.1"]
    assert texts[-2:] == ["missing", "missing"]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == [
        "the student itself (FIG)",
        "VGG19, fixed",
    ]


def test_an_improvement_needs_the_standard_discriminator(metrics: pd.DataFrame):
    with pytest.raises(ValueError, match="name standard in the study's variants"):
        improvements(metrics, [study("fig")], SEEDS)


def test_teachers_and_ood_sets_have_the_papers_names_and_are_told_apart():
    assert teacher_title("fig-scratch", {"method": "scratch"}) == "none: from scratch"
    assert teacher_title("x", {"method": "fig", "teacher": "vgg19/untrained"}) == "VGG19 (untrained), fixed"
    titles = {"a-r-nearest": "A(r)", "a-r-bilinear": "A(r)", "a-c": "A(c)", "a-c-odin": "A(c)", "b-r-nearest": "B(r)"}
    told_apart = ["A(r) nearest", "A(r) bilinear", "A(c)", "A(c) odin", "B(r)"]
    assert list(ood_titles(list(titles), titles).values()) == told_apart


def test_only_metrics_of_other_weights_are_called_so(tmp_path: Path):
    (tmp_path / "metrics.csv").write_text("key,value\nk,1\n")
    assert why_missing(tmp_path, tmp_path / "logs") == "it was not made yet"
    for key, told in {"k": "it was not made yet", "l": "its metrics are of other weights: evaluate it anew"}.items():
        (tmp_path / "discriminator.json").write_text(json.dumps({"key": key}))
        assert why_missing(tmp_path, tmp_path / "logs") == told


def test_a_note_says_what_is_missing_and_why():
    missing = {(ID, NETWORK, "fig", seed): "it diverged" for seed in (0, 2)} | {(ID, NETWORK, "jcl", 0): "no time"}
    where = f"Missing of {ID}/{NETWORK}"
    assert note(missing) == f"{where}: fig (0 2): it diverged. {where}: jcl (0): no time."
    many = {(ID, NETWORK, "fig", seed): f"reason {seed}" for seed in range(5)}
    assert note(many).endswith("fig (2): reason 2. 2 more of the kind are in the report.") and note({}) == ""


def histories() -> dict:
    steps = np.arange(10, 60, 10)
    plain = pd.DataFrame({"iteration": steps, "id_confidence": 0.9, "id_energy": -8.0})
    generated = plain.assign(generated_confidence=np.linspace(0.9, 0.2, 5), generated_energy=-1.0)
    return {(ID, NETWORK, "standard", 0): plain, (ID, NETWORK, "fig", 0): generated, (ID, NETWORK, "fig", 1): generated}


def test_figure_3_shows_the_variants_that_generate_and_where_one_who_knows_nothing_would_be():
    figure = finetuning(histories(), {ID: "Digits"}, {(ID, NETWORK, "fig", 0): 10})
    assert [axes.get_title() for axes in figure.axes] == ["FIG\nDigits · ResNet18", ""]
    *_, generated, chance = figure.axes[0].get_lines()
    np.testing.assert_allclose(generated.get_ydata(), np.linspace(0.9, 0.2, 5))
    np.testing.assert_allclose(chance.get_ydata(), 0.1)
    assert not finetuning({}).axes


def test_the_score_figure_has_a_panel_for_each_variant_with_seeds_pooled():
    sets = {"id": np.arange(10.0), "photos-c": np.arange(5.0)}
    keys = [(ID, NETWORK, variant, seed) for variant in ("standard", "fig") for seed in (0, 1)]
    figure = scores({(key, "baseline"): sets for key in keys})
    assert len(figure.axes) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ID", "photos-c"]


def test_the_sample_figure_shows_the_first_seed_with_confidences():
    drawn = {"images": np.zeros((16, 8, 8, 3), np.uint8), "confidence": np.full(16, 0.97), "predicted": np.arange(16)}
    figure = samples({(ID, NETWORK, variant, seed): drawn for variant in ("standard", "fig") for seed in (0, 1)})
    assert sum(bool(axes.images) for axes in figure.axes) == 2 * SAMPLES
    assert figure.axes[1].get_title() == "1: 97 %"


def test_where_neither_standard_nor_fig_is_there_the_figures_say_so():
    assert "Nothing to compare" in scores({}).texts[0].get_text()
    assert "Nothing to compare" in samples({}).texts[0].get_text()


def drawn(confidence: list[float]) -> Samples:
    given = torch.tensor(confidence)
    predicted = torch.arange(len(given)) % 3
    return Samples(torch.zeros(len(given), 3, 4, 4), given, -given, predicted, predicted)


def test_where_no_sample_is_confident_the_most_confident_few_are_laid_out_and_the_figure_says_so():
    assert shown_of(drawn([0.95, 0.2, 0.91]), 0.9).tolist() == [0, 2]
    below = torch.linspace(0.1, 0.6, 30).tolist()
    rows = shown_of(drawn(below), 0.9)
    assert len(rows) == FEWEST and rows[0] == 29
    arrays = {
        "test": np.zeros((4, 2)),
        "labels": np.arange(4),
        "generated": np.ones((2, 2)),
        "confidence": np.array([0.5, 0.6]),
        "drawn": np.array(30),
        "above": np.array(0),
        "confident": np.array(0.9),
    }
    figure = figure_of_embeddings({(ID, NETWORK, "fig", 0): arrays}, {ID: "Digits"})
    said = figure.axes[0].get_xlabel()
    assert "0 of 30" in said and "the 2 nearest to it (0.50 to 0.60)" in said
    assert points_of(arrays)["kind"].value_counts().to_dict() == {"test": 4, "generated": 2}


def test_penultimate_features_times_the_last_weights_are_the_logits():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 4, 7))
    images = torch.rand(6, 3, 4, 4)
    features = kept_at(network, penultimate(network), images)
    torch.testing.assert_close(network[-1](features), network(images))


def test_an_embedding_keeps_apart_what_is_far_apart_and_a_seed_gives_it_again():
    centres = np.repeat([[0.0], [50.0]], 20, axis=0)
    features = centres + np.random.default_rng(0).normal(size=(40, 8))
    points = plane(features, seed=3)
    np.testing.assert_array_equal(points, plane(features, seed=3))
    one, other = points[:20], points[20:]
    spread = max(np.ptp(one, axis=0).max(), np.ptp(other, axis=0).max())
    assert np.linalg.norm(one.mean(axis=0) - other.mean(axis=0)) > spread


def test_chains_are_kept_in_their_order_if_of_the_wanted_class_else_the_most_confident():
    given = drawn([0.5, 0.9, 0.7, 0.6, 0.8, 0.4, 0.3])  # predicted as 0 1 2 0 1 2 0
    assert kept_of(given, wanted=0, images=2).tolist() == [0, 3]
    assert kept_of(given, wanted=0, images=8).tolist() == [0, 3, 6]
    assert kept_of(given, wanted=7, images=2).tolist() == [1, 4]
    assert kept_of(given, wanted=None, images=2).tolist() == [0, 1]


def test_a_class_that_the_data_set_lacks_is_refused(stripes):
    path = stripes.images.filename
    assert wanted_class(path, {"stripes": "vertical"})[1] == "vertical"
    assert wanted_class(path, {"other": "vertical"})[1] == ""
    with pytest.raises(ValueError, match=r"chains\.wanted\.stripes is 'dog': its classes are horizontal, vertical"):
        wanted_class(path, {"stripes": "dog"})


@pytest.mark.parametrize(
    ("wanted", "found", "said"),
    [
        ("dog", 0, "none is predicted as dog"),
        ("dog", 9, "the first of 9 predicted as dog"),
        ("", 64, "the first, of 64"),
    ],
)
def test_figure_5_says_what_there_was_of_the_wanted_class(wanted: str, found: int, said: str):
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
    figure = figure_of_chains({(ID, NETWORK, "fig", 0): arrays}, {ID: "Digits"})
    assert said in figure.subfigs[0].get_suptitle() and "500 steps" in figure.subfigs[0].get_suptitle()
    assert [axes.get_xlabel() for axes in figure.axes] == ["cat\n50 %", "dog\n25 %", "cat\n100 %"]


def grey(luminance: np.ndarray) -> np.ndarray:
    """Images of this luminance in [0, 255]: (N, size, size) -> uint8 (N, size, size, 3)."""
    return np.repeat(luminance.round().clip(0, 255)[..., None], 3, axis=-1).astype(np.uint8)


def test_white_noise_has_its_variance_at_every_frequency():
    noise = np.random.default_rng(0).normal(128, 20, (400, 32, 32))
    found = spectrum(grey(noise))
    np.testing.assert_allclose(found.frequency, np.arange(1, 17) / 32)
    variance = (20 / 255) ** 2
    np.testing.assert_allclose(found.power[1:], variance, rtol=0.06)
    assert found.power[0] == pytest.approx(variance, rel=0.2)  # taking the mean away takes a part of it


@pytest.mark.parametrize("cycles", [3, 6, 12])
def test_a_cosine_is_a_peak_at_its_frequency_that_a_window_spreads_by_one(cycles: int):
    wave = 128 + 100 * np.cos(2 * np.pi * cycles * np.arange(32) / 32)
    found = spectrum(grey(np.broadcast_to(wave, (1, 32, 32))))
    assert found.frequency[found.power.argmax()] == pytest.approx(cycles / 32)
    near = np.abs(found.frequency * 32 - cycles) <= 2
    assert found.power[~near].sum() < 1e-3 * found.power.sum()


def test_twice_the_contrast_is_four_times_the_power_so_an_excess_of_two():
    noise = np.random.default_rng(1).normal(0, 10, (100, 16, 16))
    one, twice = spectrum(grey(128 + noise)), spectrum(grey(128 + 2 * noise))
    assert excess(twice, one) == pytest.approx(2, abs=0.05)
    assert excess(one, one) == 0


def spectra(*powers: float) -> dict:
    """Flat spectra of the ID data set (power 1) and of the OOD sets."""
    frequency = np.arange(1, 9) / 16
    sets = dict(zip((ID, *OOD), (1.0, *powers), strict=True))
    return {ID: {name: Spectrum(frequency, np.full(8, power)) for name, power in sets.items()}}


def test_gains_stand_beside_the_excess_of_high_frequencies_and_their_rank_correlation(metrics: pd.DataFrame):
    shown = Shown((study("standard", "fig", "fig-k0"),), SEEDS, {ID: "Digits"})
    given = spectra(2.0, 8.0, 0.5)
    values = compared(metrics, shown, given)
    table = values.set_index(["column", "ood_dataset"])
    nearest = table.loc[("gain of fig", "photos-r-nearest")]
    assert nearest[["source", "way", "excess"]].tolist() == ["photos", "r nearest", 3]
    assert nearest["mean"] == pytest.approx(0.2)
    correlations = correlation(metrics, shown, values)
    (row,) = correlations.itertuples()  # of fig-k0 a gain is missing
    own = [spearmanr([1, 3, -1], gained).statistic for gained in ([0.2, 0.1, 0.0], [0.1, 0.3, 0.2])]
    assert (row.variant, row.rho, row.sets) == ("fig", pytest.approx(1.0), 3)
    assert (row.low, row.high) == (pytest.approx(min(own)), pytest.approx(max(own)))
    told = table_of(values, correlations, "Missing: x")
    assert any("+1.00" in text and "2 sources" in text and "no p-value" in text for text in told.notes)
    assert told.notes[-1] == "Missing: x" and "—" in told.cells["gain of fig-k0"].tolist()
    figure = figure_of_resampling(values, correlations, given, shown.titles)
    assert figure.axes[1].get_title() == "FIG · ResNet18\nrank correlation +1.00"


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("photos-c", ("photos", "c")),
        ("tiny-jpeg-r-nearest", ("tiny-jpeg", "r nearest")),
        ("lsun-c-odin", ("lsun", "c odin")),
    ],
)
def test_the_name_of_an_ood_set_tells_source_and_way(name: str, made: tuple[str, str]):
    assert source_and_way(name) == made
