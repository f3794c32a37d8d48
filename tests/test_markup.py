"""Names and texts of others stand on the pages as text: none of them becomes a tag, an attribute or a link."""

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fig.data.arrays import Description
from fig.report.page import build_pages
from fig.report.results import read_run
from fig.report.tables import SUFFIXES, Table, to_html, to_latex, to_markdown
from fig.report.targets import make_target, render_tables
from fig.study.selection import Key, Selection
from fig.study.targets import ROWS, TARGETS
from support.runs import make_metrics

EVIL = """<script>alert(1)<!--"'><img src=x onerror=alert(1)>&amp;{{ 7+7 }}"""  # a name on disk: it has no slash
SLASHED = f"</style></svg></title>{EVIL}</script>"  # a text in a file
OWN_LINKS = ("#", "data:", "pages/", "tables/", "figures/", "../")  # all that a page may lead to
OURS = {"script": 1, "link": 1}  # on each page


class Elements(HTMLParser):
    """What a browser makes of a page: tags, attributes, and the texts outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attributes]

    def handle_data(self, data: str) -> None:
        self.text += data


def write_hostile(folder: Path, key: Key) -> None:
    """A discriminator's folder in which every text is hostile."""
    (folder / "scores").mkdir(parents=True)
    np.savez(folder / "scores" / f"{EVIL}.npz", **{"id": np.arange(9.0), EVIL: np.arange(9.0) - 3})
    metrics = make_metrics({key[2]: {key[3]: [0.8]}}, EVIL, ood=[EVIL], place=key[:2])
    scored = metrics[metrics["metric"] == "auroc"]
    more = [scored.assign(metric=name) for name in ("auroc_low", "auroc_high", "fpr95_id_positive")]
    pd.concat([metrics, *more]).assign(key=SLASHED).to_csv(folder / "metrics.csv", index=False)
    history = {"iteration": [1, 2], "time": 0.0, "learning_rate": 0.1, "loss": [np.nan, 0.1], f"loss {SLASHED}": 0.1}
    pd.DataFrame(history).to_csv(folder / "history.csv")
    images = np.zeros((4, 8, 8, 3), np.uint8)
    np.savez(folder / "samples.npz", images=images, confidence=np.ones(4), energy=np.zeros(4), predicted=np.arange(4))
    training = {"epochs": 1, "iterations": 2, "batch_size": 3, "learning_rate": 0.1}
    card = {
        "architecture": {"width": 1.0, SLASHED: SLASHED},
        "key": SLASHED,
        "provenance": {"made_of": {"stage": SLASHED}, "versions": {SLASHED: SLASHED}},
        "settings": {"training": training, "method": {"K": SLASHED, SLASHED: 1.0}},
        "training": {"epochs": 1, "iterations": 2, "batch_size": 3, "learning_rate": 0.1},
    }
    (folder / "discriminator.json").write_text(json.dumps(card))
    times = {"started": 0.0, "ended": 1.0, "startup": 0.1, "ray": 0.0, "work": 0.9, "tracking": 0.0}
    record = {"stage": SLASHED, "command": f"python -m {SLASHED}", "times": times}
    (folder / "training.record.json").write_text(json.dumps(record))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages of a run in which all names are hostile."""
    top = tmp_path_factory.mktemp("pages")
    run = top / "results" / EVIL
    keys = [(EVIL, EVIL, variant, seed) for variant in ("standard", "fig", EVIL) for seed in (0, 1)]
    for key in keys:
        write_hostile(run.joinpath("discriminators", *map(str, key)), key)
    made = make_target(TARGETS["comparison"], read_run(run, keys), Selection((), ()))
    (run / "tables").mkdir()
    (run / "tables" / "comparison.html").write_text(render_tables(made)["html"])
    data = top / "data" / EVIL / "test.json"
    data.parent.mkdir(parents=True)
    grey = (0.5, 0.5, 0.5)
    described = Description(EVIL, "test", 0, (8, 8, 3), [SLASHED] * 10, [], grey, grey, SLASHED, {}, "")
    data.write_text(json.dumps(vars(described)))
    log = run / "logs" / "retrain" / EVIL / EVIL / "mixup" / "0.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"error: {SLASHED}\n")
    missing = [(EVIL, EVIL, "mixup", 0)]
    records = sorted(run.rglob("*.record.json"))
    built = build_pages(run, [*keys, *missing], targets=ROWS, data=[data], records=records, configuration=SLASHED)
    return {path: text.encode().decode() for path, text in built}  # as a file has it


def test_no_name_and_no_text_becomes_markup_on_a_page(pages: dict[str, str]):
    assert len(pages) == 1 + 6
    for path, text in pages.items():
        found = Elements(text)
        assert {tag: found.tags.count(tag) for tag in OURS} == OURS, path
        assert not [name for name, _ in found.attributes if name.startswith("on")], path
        links = [value for name, value in found.attributes if name in ("href", "src")]
        assert links and all(link.startswith(OWN_LINKS) for link in links), path
        assert EVIL in found.text, path
    assert SLASHED in Elements(pages["report.html"]).text


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_text_becomes_markup_in_a_table(suffix: str):
    cells = pd.DataFrame({SLASHED: [SLASHED]})
    text = {"md": to_markdown, "tex": to_latex, "html": to_html}[suffix](Table(SLASHED, cells, [SLASHED]))
    if suffix == "html":
        assert "<script" not in text and "<img" not in text and Elements(text).text.count("alert(1)") == 8
    elif suffix == "md":
        assert text.count(r"\<script>alert(1)\<!--") == 4 and "<img" not in text.replace(r"\<img", "")
    else:
        assert r"\&amp;\{\{ 7+7 \}\}" in text
