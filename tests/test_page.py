"""The pages of a run: what they say, that they are whole, and how they behave in a browser."""

import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fig.data.arrays import Description
from fig.metrics import auroc, auroc_interval, fpr95_id_positive
from fig.report.charts import Axis, Curve, Pair, bin_scores, draw_chart, draw_pairs, score_range, thin_roc
from fig.report.claim import list_gains, state_claim
from fig.report.markup import FOLDER
from fig.report.page import (
    EMBEDDED,
    build_pages,
    describe_training,
    find_base,
    format_duration,
    list_troubles,
    locate_figure,
)
from fig.report.results import Results, read_run
from fig.report.single import show_samples
from fig.report.tables import HEADINGS, MEANINGS, explain_column, html_cells
from fig.report.targets import make_target, render_tables
from fig.study.selection import Selection
from fig.study.targets import ROWS, TARGETS
from support.processes import HANGS
from support.workspace import Workspace

PLACE = ("digits", "resnet18")
OOD = [f"{source}-{way}" for source in ("photos", "coco") for way in ("r-antialias", "r-bilinear", "r-nearest", "c")]
DETECTORS = ("baseline", "odin", "mahalanobis", "residual_flow", "gram")
SHIFTS = {"standard": (1.0, 1.2, 0.9), "fig": (1.5, 1.6, 1.7), "gaussian": (0.6, 0.9, 1.0)}  # variant -> by seed
STYLE = (FOLDER / "style.css").read_text()
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def tidy(variant: str, seed: int, scores: dict[str, dict[str, np.ndarray]]) -> pd.DataFrame:
    """The metrics.csv of a discriminator with these scores."""
    rows = [("", "", "accuracy", 0.9 + seed / 100), ("", "", "calibration_error", 0.05), ("", "", "sample_steps", 15.0)]
    for detector, sets in scores.items():
        for ood in OOD:
            pair = sets["id"], sets[ood]
            low, high = auroc_interval(*pair, replicates=20)
            values = {"auroc": auroc(*pair), "fpr95_id_positive": fpr95_id_positive(*pair)}
            values |= {"auroc_low": low, "auroc_high": high}
            rows += [(detector, ood, name, value) for name, value in values.items()]
    table = pd.DataFrame(rows, columns=["detector", "ood_dataset", "metric", "value"])
    names = {"id_dataset": PLACE[0], "network": PLACE[1], "variant": variant, "seed": seed, "key": f"{variant}{seed}"}
    return table.assign(**names, protocol="", setting="")


def write_discriminator(folder: Path, variant: str, seed: int, shift: float) -> None:
    """A discriminator's folder as training and evaluation leave it, with scores of normal distributions."""
    draw = np.random.default_rng([seed, len(variant)])
    (folder / "scores").mkdir(parents=True)
    scores = {
        detector: {"id": draw.normal(shift, 1, 200)} | {ood: draw.normal(0, 1, 200) for ood in OOD}
        for detector in DETECTORS
    }
    for detector, sets in scores.items():
        np.savez(folder / "scores" / f"{detector}.npz", **sets)
    tidy(variant, seed, scores).to_csv(folder / "metrics.csv", index=False)
    steps = np.arange(10, 310, 10)
    history = {"iteration": steps, "time": 0.0, "learning_rate": 0.1, "loss": 1 / steps, "id_confidence": 0.9}
    pd.DataFrame(history | {"generated_confidence": np.linspace(0.9, 0.2, 30)}).to_csv(folder / "history.csv")
    images = draw.integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
    drawn = {"confidence": np.full(64, 0.97), "energy": np.zeros(64), "predicted": np.arange(64) % 10}
    np.savez(folder / "samples.npz", images=images, **drawn)
    Image.fromarray(images[0]).save(folder / "samples.png")
    training = {"epochs": 0, "iterations": 300, "batch_size": 64, "learning_rate": 0.001}
    card = {
        "architecture": {"width": 0.125},
        "key": f"{variant}{seed}",
        "provenance": {"made_of": {"stage": "finetune"}, "versions": {"torch": "2.9"}},
        "settings": {"training": training, "method": {"K": 0.1}},
    }
    (folder / "discriminator.json").write_text(json.dumps(card))
    times = {"started": 0.0, "ended": 125.0, "startup": 1.0, "ray": 2.0, "work": 3.0, "tracking": 4.0}
    for kind, stage in (("training", "finetune"), ("evaluation", "evaluate")):
        record = {"stage": stage, "command": f"python -m fig.stages.{stage} --seed {seed}", "times": times}
        (folder / f"{kind}.record.json").write_text(json.dumps(record))


def write_split(path: Path, name: str) -> Path:
    """The JSON of a prepared split."""
    classes = [f"class{number}" for number in range(10)] if name == PLACE[0] else []
    grey = (0.5, 0.5, 0.5)
    described = Description(name, "test", 0, (8, 8, 3), classes, [], grey, grey, f"about {name}", {}, "")
    target = path / name / "test.json"
    target.parent.mkdir(parents=True)
    target.write_text(json.dumps(asdict(described)))
    return target


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with its pages, of three variants and three seeds."""
    top = tmp_path_factory.mktemp("pages")
    folder = top / "results" / "some"
    keys = [(*PLACE, variant, seed) for variant, shifts in SHIFTS.items() for seed in range(len(shifts))]
    for key in keys:
        write_discriminator(folder.joinpath("discriminators", *map(str, key)), *key[2:], SHIFTS[key[2]][key[3]])
    (folder / "tables").mkdir()
    table = pd.DataFrame({"ood_dataset": ["photos", "coco", "average"], "fig": ["9.1 ± 2.0 | 8.0 | +1.1", "—", "10.5"]})
    (folder / "tables" / "table1.html").write_text(f'<div class="wide">{html_cells(table)}</div>')
    compared = make_target(TARGETS["comparison"], read_run(folder, keys), Selection((), ()))
    (folder / "tables" / "comparison.html").write_text(render_tables(compared)["html"])
    (folder / "figures").mkdir()
    Image.new("RGB", (1800, 300)).save(folder / "figures" / "finetuning.png")
    data = [write_split(top / "data", name) for name in (PLACE[0], *OOD)]
    missing = [(*PLACE, "fig", 7), *((*PLACE, f"mixup{number}", 0) for number in range(20))]
    for key in missing:
        log = folder.joinpath("logs", "retrain", *map(str, key[:3]), f"{key[3]}.log")
        log.parent.mkdir(parents=True)
        log.write_text(f"error: {key[2]} diverged: the loss is not finite\n")
    built = build_pages(
        folder,
        [*keys, *missing],
        targets=ROWS,
        data=data,
        records=sorted(folder.rglob("*.record.json")),
        configuration="some.yaml",
    )
    for path, text in built:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def pages_of(run: Path) -> list[Path]:
    return [run / "report.html", *sorted(run.glob("pages/*/*/*/*.html"))]


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def values(self, *names: str) -> Iterator[str]:
        """The values of attributes, wherever they stand."""
        yield from (fields[name] for _, fields in self.found for name in names if fields.get(name))


@pytest.mark.parametrize(
    ("stage", "inputs", "said"),
    [
        ("retrain", ["data/32/digits/train.npy"], "random weights, trained"),
        ("finetune", ["data/32/digits/train.npy", "results/a/discriminators/b/c/standard/0"], "standard, fine-tuned"),
        (
            "transfer",
            ["results/a/discriminators/b/c/t2f-k0.4/0", "results/a/discriminators/b/v/fig/0"],
            "t2f-k0.4, fine-",
        ),
    ],
)
def test_the_page_names_the_variant_that_was_fine_tuned(stage: str, inputs: list[str], said: str):
    training = {"epochs": 0, "iterations": 300, "batch_size": 64, "learning_rate": 0.001}
    made_of = {"stage": stage, "inputs": dict.fromkeys(inputs, "a hash")}
    assert describe_training(training, find_base(made_of)).startswith(said)


def test_the_claim_comes_with_a_paired_interval_over_seeds(run: Path):
    metrics = pd.concat([pd.read_csv(path, keep_default_na=False) for path in run.rglob("metrics.csv")])
    gain = next(g for g in list_gains(metrics) if (g.variant, g.detector) == ("fig", "baseline"))
    rows = metrics[(metrics["metric"] == "auroc") & (metrics["detector"] == "baseline")]
    by_seed = rows.groupby(["variant", "seed"])["value"].mean()
    each = (by_seed["fig"] - by_seed["standard"]).to_numpy()
    half = 4.302653 * each.std(ddof=1) / np.sqrt(3)  # Student's t of two degrees of freedom, at 97.5 %
    assert (gain.mean, gain.low, gain.high) == pytest.approx((each.mean(), each.mean() - half, each.mean() + half))
    assert (gain.up, gain.seeds) == (3, 3)
    first, second = state_claim(list_gains(metrics))
    assert f"{100 * each.mean():+.1f} (" in first and "up for 3 of 3 seeds" in first
    assert "in 5 of 5 combinations" in second


def test_one_seed_claims_no_certainty_and_no_fig_claims_nothing(run: Path):
    metrics = pd.concat([pd.read_csv(path, keep_default_na=False) for path in run.rglob("metrics.csv")])
    assert "With one seed there is no confidence interval" in next(
        state_claim(list_gains(metrics[metrics["seed"] == 0]))
    )
    (sentence,) = state_claim(list_gains(metrics[metrics["variant"] != "fig"]))
    assert "no variant called fig" in sentence


def test_gains_on_several_data_sets_are_counted(run: Path):
    metrics = pd.concat([pd.read_csv(path, keep_default_na=False) for path in run.rglob("metrics.csv")])
    gains = list_gains(pd.concat([metrics, metrics.assign(id_dataset="others")]))
    first, _ = state_claim(gains)
    assert first.startswith("With the baseline detector,") and "2 of 2 pairs of ID data set and network" in first


def test_a_collapsed_generator_and_a_loss_that_is_not_finite_are_reported():
    spread, wild = pd.DataFrame({"generated_spread": [0.9, 0.02]}), pd.DataFrame({"critic_loss": [1.0, np.inf]})
    fine = pd.DataFrame({"generated_spread": [0.02, 0.9], "loss": [1.0, 2.0]})
    results = Results(Path("none"), {})
    histories = {(*PLACE, "jcl", seed): table for seed, table in enumerate((spread, wild, fine))}
    results.__dict__["histories"] = histories
    found = list(list_troubles(results))
    assert len(found) == 2 and "jcl/0: the generator collapsed, its images vary 2.0 %" in found[0]
    assert "jcl/1: a loss was not finite" in found[1]


def test_a_thinned_roc_curve_encloses_the_auroc():
    draw = np.random.default_rng(0)
    id_scores, ood_scores = draw.normal(1, 1, 5000), draw.normal(0, 1, 3000)
    across, up = thin_roc(id_scores, ood_scores)
    assert len(across) <= 60
    assert np.trapezoid(up, across) == pytest.approx(auroc(id_scores, ood_scores), abs=0.002)
    assert np.c_[thin_roc(np.ones(4), np.zeros(4))].tolist() == [[0, 0], [0, 1], [1, 1]]


def test_a_histogram_holds_every_score_also_those_in_the_tails():
    scores = np.array([-1e6, *range(200), 1e6])
    places, shares = bin_scores(scores, *score_range(scores))
    assert shares.sum() == pytest.approx(1) and places.min() > -1 and places.max() < 200


def test_a_chart_puts_values_where_its_axes_say():
    drawn = str(draw_chart("a line", [Curve("up", [0, 1], [0, 2], "#000")], Axis("x", 0, 1), Axis("y", 0, 2)))
    assert 'd="M92 326l534 -312"' in drawn  # from the lower left corner of the plot to the upper right one
    assert 'aria-label="a line"' in drawn and "<title>up</title>" in drawn
    nothing = str(draw_chart("none", [Curve("no", [0], [np.nan], "#000")], Axis("x", 0, 1), Axis("y", 0, 2)))
    assert "<title>no</title>" not in nothing and "nan" not in nothing


def test_each_seed_is_drawn_as_a_pair_from_before_to_after():
    drawn = str(draw_pairs([Pair("3", 50, 100), Pair("4", 100, 75)], Axis("per cent", 50, 100)))
    assert 'class="up"><title>seed 3: 50.0 → 100.0</title><path d="M8 11H182"/>' in drawn
    assert 'class="down"><title>seed 4: 100.0 → 75.0</title><path d="M182 22H95"/>' in drawn
    assert 'aria-label="seed 3: 50.0 → 100.0, seed 4: 100.0 → 75.0"' in drawn


def test_every_measure_has_a_unit_and_a_meaning_and_so_has_its_part_on_some_ood_sets():
    for heading in HEADINGS.values():
        assert all(explain_column(heading)), heading
    assert explain_column("AUROC photos-c ↑") == explain_column("near AUROC ↑") == MEANINGS["AUROC"]
    assert explain_column("far FPR at 95 % TPR, OOD positive ↓") == MEANINGS["FPR at 95 % TPR, OOD positive"]
    assert explain_column("fig") == ("", "")


def test_a_sentence_under_every_table_and_figure_says_how_to_read_it(run: Path):
    assert all(target.reading.endswith(".") for target in ROWS)
    text = (run / "report.html").read_text()
    assert TARGETS["table1"].reading.replace("'", "&#39;") in text and TARGETS["finetuning"].reading in text
    assert "snakemake table1 --profile local --configfile some.yaml" in text and 'href="tables/table1.html"' in text


def test_long_times_are_printed_in_hours():
    assert (format_duration(3599), format_duration(7200)) == ("59 min 59 s", "2.0 hours")


def test_every_link_leads_to_a_file_and_nothing_is_loaded_from_elsewhere(run: Path):
    assert len(pages_of(run)) == 1 + 9
    for page in pages_of(run):
        tags = Tags(page.read_text())
        ids = set(tags.values("id"))
        for link in tags.values("href", "src"):
            if link.startswith("#"):
                assert link[1:] in ids, f"{page}: {link} leads nowhere"
            elif not link.startswith("data:"):
                name, _, place = link.partition("#")
                assert ":" not in link and (page.parent / name).resolve().exists(), f"{page}: {link} leads nowhere"
                assert not place or f'id="{place}"' in (page.parent / name).read_text(), f"{page}: {link} leads nowhere"


def test_pages_are_in_order_for_those_who_do_not_see_them(run: Path):
    for page in pages_of(run):
        found = Tags(page.read_text()).found
        levels = [int(tag[1]) for tag, _ in found if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1 and all(after - before <= 1 for before, after in pairwise(levels))
        assert all(fields.get("alt") for tag, fields in found if tag == "img")
        assert all(fields.get("scope") for tag, fields in found if tag == "th")
        assert all(fields.get("aria-label") for tag, fields in found if tag == "svg" and "aria-hidden" not in fields)


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, #rrggbb or #rgb, by WCAG 2."""
    both = []
    for colour in (one, other):
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        shares = np.array([int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)])
        linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
        both.append(linear @ [0.2126, 0.7152, 0.0722])
    return (max(both) + 0.05) / (min(both) + 0.05)


def test_text_and_drawings_stand_out_from_the_page_in_light_and_in_dark():
    assert contrast("#000", "#ffffff") == pytest.approx(21) and contrast("#777", "#fff") == pytest.approx(
        4.48, abs=0.01
    )
    light, dark = (dict(re.findall(r"--(\w+): (#\w+);", block)) for block in re.findall(":root {(.*?)}", STYLE))
    for colours in (light, {**light, **dark}):
        for ground in ("ground", "pale", "good", "bad"):
            assert all(contrast(colours[text], colours[ground]) >= 4.5 for text in ("ink", "soft", "link")), ground
        assert all(contrast(colours[mark], colours["ground"]) >= 3 for mark in ("blue", "red", "edge"))


def test_the_page_says_what_was_run_what_came_out_and_what_is_missing(run: Path):
    text = (run / "report.html").read_text()
    for wanted in (
        *("300 iterations of 64", "2 min 5 s", "gaussian2", "about photos-c", "9.1 ± 2.0 | 8.0"),
        "Missing of digits/resnet18: fig (7): fig diverged: the loss is not finite.",
        *("Missing of digits/resnet18: mixup19 (0): mixup19 diverged", "and 9 more"),
    ):
        assert wanted in text


def test_a_page_of_a_run_that_lacks_something_is_called_partial_and_its_pages_lead_back_to_it(run: Path):
    pages = dict(build_pages(run, [(*PLACE, "fig", 0)], partial=True))
    assert list(pages) == ["partial.html", "pages/digits/resnet18/fig/0.html"]
    assert 'href="../../../../partial.html"' in pages["pages/digits/resnet18/fig/0.html"]


def test_a_figure_of_megabytes_is_shown_from_its_own_file():
    small, large = (locate_figure(TARGETS["finetuning"], bytes(count)) for count in (10, EMBEDDED + 1))
    assert small.startswith("data:image/png;base64,") and large == "figures/finetuning.png"


def test_the_page_of_a_run_of_which_nothing_is_there_says_so(run: Path):
    ((name, text),) = build_pages(run, [(*PLACE, "fig", 7)])
    assert name == "report.html" and "Missing of digits/resnet18: fig (7)" in text and "no variant called fig" in text


def test_a_discriminators_page_is_small_and_says_how_to_make_it_again(run: Path):
    page = run / "pages" / "digits" / "resnet18" / "fig" / "1.html"
    text = page.read_text()
    assert len(text) < 300_000
    assert "python -m fig.stages.finetune --seed 1" in text and "python -m fig.stages.evaluate --seed 1" in text
    command = "snakemake results/some/discriminators/digits/resnet18/fig/1/metrics.csv --profile local --configfile"
    assert f"{command} some.yaml" in text
    scores = np.load(run / "discriminators/digits/resnet18/fig/1/scores/gram.npz")
    assert f"photos-c: AUROC {100 * auroc(scores['id'], scores['photos-c']):.1f} %" in text
    assert text.count("A sample taken for class3 with confidence 97 %") >= 1


def test_a_discriminators_page_draws_the_interval_of_each_auroc_and_says_what_its_own_measures_mean(run: Path):
    text = (run / "pages" / "digits" / "resnet18" / "fig" / "1.html").read_text()
    assert text.count('<svg class="strip"') == len(OOD) * len(DETECTORS) and "&lt;svg" not in text
    assert "<dt>accuracy</dt><dd>91.0%</dd>" in text and "classified correctly: more is better" in text


@pytest.mark.parametrize("side", [32, 224])
def test_samples_of_any_size_leave_a_page_small_and_have_their_class(side: int):
    images = np.random.default_rng(0).integers(0, 256, (24, side, side, 3), dtype=np.uint8)
    drawn = {"images": images, "predicted": np.arange(24) % 2, "confidence": np.linspace(0.5, 1, 24)}
    found = list(show_samples(drawn, ["cat", "dog"]))
    assert found and sum(len(source) for source, _, _ in found) < 130_000
    assert [rest for _, *rest in found[:2]] == [["cat", "50 %"], ["dog", "52 %"]][: len(found)]


@pytest.mark.pipeline
def test_snakemakes_own_report_has_tables_and_pictures_in_categories_with_captions(finished: Workspace, tmp_path: Path):
    finished.snakemake("--report", str(tmp_path / "report.zip"))
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        files = {Path(name).name for name in archive.namelist()}
        text = archive.read("report/report.html").decode()
    assert {"report.html", "comparison.csv", "scores.png"} <= files
    for category in ("Page", "Tables", "Figures"):
        assert f'"{category}"' in text
    for name in ("scores", "samples", "finetuning", "comparison"):
        assert f"<p>{TARGETS[name].title}" in text


PROBE = """<script>
addEventListener("load", () => {
  const column = (table, name) => [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent === name);
  const shown = (table) => [...table.tBodies[0].rows].filter((row) => !row.hidden);
  const texts = (table, at) => shown(table).map((row) => row.cells[at].textContent);
  const found = {page: document.title, width: innerWidth, sorted: {}};
  found.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  for (const table of document.querySelectorAll("table:has(thead)")) {
    for (const name of ["gain in points", "fig", "OOD set"]) {
      const at = column(table, name);
      if (at < 0 || name in found.sorted) continue;
      const heading = table.tHead.rows[0].cells[at], button = heading.querySelector("button");
      button.focus();
      const focused = document.activeElement === button;
      const rounds = [1, 2].map(() => {
        button.click();
        return [heading.getAttribute("aria-sort"), texts(table, at)];
      });
      found.sorted[name] = {focused, rounds};
    }
  }
  const sample = document.querySelector(".samples button"), viewer = document.querySelector("dialog");
  if (sample) {
    sample.click();
    found.enlarged = [viewer.open, viewer.querySelector("img").alt, viewer.querySelector("img").clientWidth >= 3 * 32];
    viewer.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
    found.enlarged.push(viewer.querySelector("img").alt);
    viewer.click();
    found.enlarged.push(viewer.open);
  }
  found.meanings = [...document.querySelectorAll("details.meanings dt")].map((each) => each.textContent);
  const box = [...document.querySelectorAll(".filter input")].at(-1);
  box.value = "odin coco-c";
  box.dispatchEvent(new Event("input"));
  found.filtered = texts(box.closest("label").nextElementSibling.querySelector("table"), 0).length;
  parent.postMessage(found, "*");
});
</script>"""


FRAMES = """<!doctype html><style>iframe { border: 0 }</style><pre id="out"></pre><script>
const all = [];
addEventListener("message", (event) => { all.push(event.data); out.textContent = JSON.stringify(all); });
</script>"""


def in_browser(run: Path, page: Path, widths: tuple[int, ...], scratch: Path) -> tuple[dict[int, dict], list[str]]:
    """What PROBE finds in a page at each width in CSS pixels, and what the browser's console says."""
    probed = page.with_name(f"probed-{page.name}")
    probed.write_text(page.read_text() + PROBE)
    frames = "".join(f'<iframe src="{probed.as_uri()}" width="{width}" height="900"></iframe>' for width in widths)
    (scratch / "frames.html").write_text(FRAMES + frames)
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={scratch / 'profile'}"),
            *("--window-size=1600,1000", "--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom"),
            (scratch / "frames.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=True,
    )
    probed.unlink()
    (text,) = re.findall(r'<pre id="out">(.*?)</pre>', done.stdout, re.DOTALL)
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return {found["width"]: found for found in json.loads(text or "[]")}, console


def number(text: str) -> float:
    return float(text.split(" ")[0])


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("name", ["report.html", "pages/digits/resnet18/fig/0.html"])
def test_in_a_browser_pages_fit_narrow_and_wide_screens_and_tables_sort(run: Path, name: str, tmp_path: Path):
    found, console = in_browser(run, run / name, (390, 1440), tmp_path)
    assert console == []
    assert {width: each["overflow"] for width, each in found.items()} == {390: 0, 1440: 0}
    column = "gain in points" if name == "report.html" else "OOD set"
    chosen = found[390]["sorted"][column]
    (up, rising), (down, falling) = chosen["rounds"]
    assert (up, down, chosen["focused"]) == ("ascending", "descending", True)
    ordered = sorted(rising, key=number if column == "gain in points" else str)
    assert len(rising) > 4 and rising == ordered and falling == ordered[::-1]
    if name == "report.html":  # an empty cell stays last, and 10.5 comes after 9.1
        cells = ["9.1 ± 2.0 | 8.0 | +1.1", "10.5", "—"]
        assert [texts for _, texts in found[390]["sorted"]["fig"]["rounds"]] == [cells, [cells[1], cells[0], cells[2]]]
    else:
        assert found[390]["filtered"] == 1
        names = [f"A sample taken for class{number} with confidence 97 %" for number in (0, 1)]
        assert found[390]["enlarged"] == [True, names[0], True, names[1], False]
        assert "FPR at 95 % TPR ↓ %" in found[390]["meanings"]
