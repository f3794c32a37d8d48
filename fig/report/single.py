"""The page of one discriminator: its training, its scores, its samples, and how to make it again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import pandas as pd
from markupsafe import Markup

from fig.report.charts import (
    CHART_COLOURS,
    Axis,
    Curve,
    Mark,
    bin_scores,
    draw_chart,
    draw_strip,
    fit_axis,
    score_range,
    thin_roc,
)
from fig.report.markup import encode_image, render
from fig.report.measures import COMPARABLE, choose_detector
from fig.report.results import Arrays
from fig.report.tables import HEADINGS, title_column
from fig.settings import Json
from fig.study.selection import Key

MOST_SAMPLES = 24  # shown, at most
SAMPLE_BYTES = 90_000  # for all of them
CHANCE = 50.0  # AUROC of a detector that guesses, in per cent
SHARE, NUMBER = "{:.1%}", "{:.1f}"
OWN = {  # of the discriminator itself: title, form and meaning
    "accuracy": ("accuracy", SHARE, "of ID test images classified correctly: more is better"),
    "calibration_error": ("calibration error", SHARE, "mean distance of confidence from accuracy: 0 is calibrated"),
    "sample_confidence": ("confidence in its samples", SHARE, "mean over low-entropy samples: less is better"),
    "sample_share_confident": ("samples above 90 %", SHARE, "low-entropy samples that it is sure of: less is better"),
    "sample_energy": ("energy of its samples", NUMBER, "mean over low-entropy samples: low where it is sure"),
    "sample_steps": ("steps of a chain", NUMBER, "mean of Langevin steps that a sample takes"),
}


@dataclass(frozen=True)
class Single:
    """What a discriminator's page shows of its folder."""

    key: Key
    card: Mapping[str, Json]
    history: pd.DataFrame
    metrics: pd.DataFrame
    scores: Mapping[str, Arrays]  # detector -> "id" and OOD sets -> scores
    samples: Arrays
    records: Sequence[Mapping[str, Json]]  # of its jobs: stage, command and times
    classes: Sequence[str] = ()
    variants: Sequence[Key] = ()  # that have pages and differ in their variant alone, itself among them
    seeds: Sequence[Key] = ()  # and in their seed alone


def address_of(key: Key) -> str:
    """Where a discriminator's page is, below the folder of all pages."""
    return "{}/{}/{}/{}.html".format(*key)


def draw_history(history: pd.DataFrame) -> Iterator[tuple[str, Markup, list[Curve]]]:
    """Title, chart and curves of each quantity along training: columns with the same last word share a chart."""
    groups: dict[str, list[str]] = {}
    for column in [name for name in history if name not in ("iteration", "time") and history[name].nunique() > 1]:
        groups.setdefault(column.rpartition("_")[2], []).append(column)
    across = fit_axis("iteration", history["iteration"])
    for word, columns in groups.items():
        title = word if len(columns) > 1 else title_quantity(columns[0])
        curves = [
            Curve(title_quantity(column), history["iteration"], history[column], colour)
            for column, colour in zip(columns, CHART_COLOURS, strict=False)
        ]
        up = fit_axis("", *(history[column] for column in columns))
        yield title, draw_chart(f"{title} along training", curves, across, up), curves if len(curves) > 1 else []


def title_quantity(column: str) -> str:
    """What a column of a history holds, for people: generated_energy is the energy of low-entropy samples."""
    subjects = {"id": " of ID images", "generated": " of samples"}
    subject, _, quantity = column.partition("_")
    return quantity + subjects[subject] if subject in subjects else column.replace("_", " ")


def choose_looks(sets: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and dashes of the curve of each OOD set."""
    pairs = [(colour, dashes) for dashes in ("", "10 6", "3 5") for colour in CHART_COLOURS[1:]]
    return dict(zip(sets, islice(cycle(pairs), len(sets)), strict=True))


def index_aurocs(metrics: pd.DataFrame) -> dict[tuple[str, str], float]:
    """The comparable AUROC by detector and OOD set."""
    rows = metrics[(metrics["metric"] == "auroc") & metrics["protocol"].isin(COMPARABLE)]
    return {(row.detector, row.ood_dataset): row.value for row in rows.itertuples()}


def draw_scores(single: Single, looks: Mapping[str, tuple[str, str]]) -> Iterator[dict[str, Json]]:
    """Each detector's mean AUROC, the histograms of its scores, and a ROC curve for each OOD set.

    The detector by which the variant is compared comes first.
    """
    aurocs = index_aurocs(single.metrics)
    first = choose_detector([name for name in single.metrics["detector"].unique() if name] or [""])
    for detector, sets in sorted(single.scores.items(), key=lambda pair: pair[0] != first):
        low, high = score_range(*sets.values())
        outlines = [Curve("ID", *bin_scores(sets["id"], low, high), CHART_COLOURS[0], filled=True)]
        lines = []
        for name, (colour, dashes) in looks.items():
            outlines.append(Curve(name, *bin_scores(sets[name], low, high), colour, dashes=dashes))
            title = f"{name}: AUROC {100 * aurocs[detector, name]:.1f} %"
            lines.append(Curve(title, *thin_roc(sets["id"], sets[name]), colour, dashes=dashes))
        share = Axis("share of images", 0, 1.05 * max(each.y.max() for each in outlines), ticks=False)
        accepted = Axis("OOD images accepted", 0, 1), Axis("ID images accepted", 0, 1)
        curves = ", ".join(line.name for line in lines)
        score = Axis(f"{detector} score", low, high)
        yield {
            "detector": detector,
            "auroc": sum(aurocs[detector, name] for name in looks) / len(looks),
            "histograms": draw_chart(f"Histograms of the {detector} scores", outlines, score, share),
            "roc": draw_chart(f"ROC curves of {detector}: {curves}", lines, *accepted, diagonal=True),
        }


def lay_out_metrics(metrics: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Headings, and a row of texts in per cent for each detector, protocol and OOD set; AUROC's interval is drawn."""
    scored = metrics[(metrics["detector"] != "") & (metrics["protocol"] != "grid")]
    place = ["detector", "protocol", "setting", "ood_dataset"]
    wide = scored.pivot(index=place, columns="metric", values="value").reindex(scored[place].drop_duplicates())
    shown = [name for name in HEADINGS if name in wide]
    aurocs = 100 * wide[["auroc", "auroc_low", "auroc_high"]].to_numpy()
    axis = fit_axis("per cent", aurocs, [CHANCE])
    marks = [Mark(f"{low:.1f} to {high:.1f}", value, low, high) for value, low, high in aurocs]
    interval = [Markup(mark.name) + draw_strip([mark], axis, CHANCE) for mark in marks]
    shares = wide[shown].mul(100).map("{:.1f}".format).rename(columns=HEADINGS)
    table = wide.index.to_frame(index=False).join(shares.reset_index(drop=True))
    table.insert(5, "AUROC, 95 % interval over images", pd.Series(interval, dtype=object))
    table = table[[name for name in table if name not in ("protocol", "setting") or table[name].any()]]
    return [title_column(name) for name in table], table.to_numpy().tolist()


def describe_itself(metrics: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Title, value and meaning of each measure of the discriminator itself, of no detector."""
    values = metrics[metrics["detector"] == ""].set_index("metric")["value"]
    return [
        (title, form.format(values[name]), meaning) for name, (title, form, meaning) in OWN.items() if name in values
    ]


def show_samples(samples: Arrays, classes: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Address, class and confidence of the first samples, as many as fit into SAMPLE_BYTES."""
    used = 0
    for image, predicted, confidence in zip(
        samples["images"][:MOST_SAMPLES], samples["predicted"], samples["confidence"], strict=False
    ):
        source = encode_image(image)
        used += len(source) * 3 // 4
        if used > SAMPLE_BYTES:
            return
        yield source, classes[predicted] if classes else f"class {predicted}", f"{100 * confidence:.0f} %"


def list_texts(value: Json, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as pairs of a dotted name and a text."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from list_texts(inner, f"{name}.{key}" if name else key)
    else:
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def render_single(single: Single, run: str, home: str, configuration: str) -> str:
    """Render the page of a discriminator as HTML, in a run of this name and configuration whose page is `home`."""
    id_dataset, network, variant, seed = single.key
    headings, rows = lay_out_metrics(single.metrics)
    looks = choose_looks([name for name in single.metrics["ood_dataset"].unique() if name])
    return render(
        "single.html.j2",
        title=" · ".join((id_dataset, network, variant, f"seed {seed}")),
        run=run,
        configuration=configuration,
        home=home,
        path="/".join(map(str, single.key)),
        card=single.card,
        variants=[(key[2], address_of(key)) for key in single.variants],
        seeds=[(f"seed {key[3]}", address_of(key)) for key in single.seeds],
        here=address_of(single.key),
        own=describe_itself(single.metrics),
        history=list(draw_history(single.history)) if len(single.history) > 1 else [],
        legend=[("ID", CHART_COLOURS[0], ""), *((name, *look) for name, look in looks.items())],
        scores=list(draw_scores(single, looks)),
        headings=headings,
        rows=rows,
        samples=list(show_samples(single.samples, single.classes)),
        drawn=len(single.samples["images"]),
        jobs=sorted(single.records, key=lambda job: job["started"]),
        provenance=list(list_texts(single.card["provenance"])),
    )
