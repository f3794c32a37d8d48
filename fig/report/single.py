"""The page of one discriminator: its training, its scores, its samples, and how to make it again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle, islice
from typing import Any

import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from fig.report.curves import histogram, range_of, roc
from fig.report.markup import data_uri, rendered
from fig.report.names import COMMON, COMPARABLE
from fig.report.records import Key
from fig.report.svg import COLOURS, Axis, Curve, axis_around, chart
from fig.report.tables import HEADINGS

SAMPLES = 24  # shown, at most
SAMPLE_BYTES = 90_000  # for all of them
LOSSLESS = 64  # pixels a side up to which samples are shown pixel by pixel; of larger ones none can be told apart
OWN = {
    "accuracy": "accuracy on ID test images",
    "calibration_error": "expected calibration error",
    "sample_confidence": "mean confidence on its own samples",
    "sample_share_confident": "share of its samples above 0.9",
    "sample_energy": "mean energy of its samples",
    "sample_steps": "mean steps of a chain",
}


@dataclass(frozen=True)
class Made:
    """What a discriminator's folder holds, weights aside."""

    key: Key
    card: Mapping[str, Any]
    history: pd.DataFrame
    metrics: pd.DataFrame
    scores: Mapping[str, Mapping[str, NDArray]]  # detector -> "id" and OOD sets -> scores
    samples: Mapping[str, NDArray]
    timings: Sequence[Mapping[str, Any]]


def address(key: Key) -> str:
    """Where a discriminator's page is, below the folder of all pages."""
    return "{}/{}/{}/{}.html".format(*key)


def history_charts(history: pd.DataFrame) -> Iterator[tuple[str, Markup, list[Curve]]]:
    """Title, chart and curves of each quantity along training: columns with the same last word share a chart."""
    groups: dict[str, list[str]] = {}
    for column in [name for name in history if name not in ("iteration", "time") and history[name].nunique() > 1]:
        groups.setdefault(column.rpartition("_")[2], []).append(column)
    across = axis_around("iteration", history["iteration"])
    for word, columns in groups.items():
        title = word if len(columns) > 1 else columns[0].replace("_", " ")
        curves = [
            Curve(column.replace("_", " ").replace("id ", "ID "), history["iteration"], history[column], colour)
            for column, colour in zip(columns, COLOURS, strict=False)
        ]
        up = axis_around("", *(history[column] for column in columns))
        yield title, chart(f"{title} along training", curves, across, up), curves if len(curves) > 1 else []


def looks(sets: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and dashes of the curve of each OOD set."""
    pairs = [(colour, dashes) for dashes in ("", "10 6", "3 5") for colour in COLOURS[1:]]
    return dict(zip(sets, islice(cycle(pairs), len(sets)), strict=True))


def auroc_of(metrics: pd.DataFrame) -> dict[tuple[str, str], float]:
    """AUROC by detector and OOD set, under settings that ID images choose where there are settings."""
    rows = metrics[(metrics["metric"] == "auroc") & metrics["protocol"].isin(COMPARABLE)]
    return {(row.detector, row.ood_dataset): row.value for row in rows.itertuples()}


def score_charts(made: Made, styles: Mapping[str, tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """Of each detector its mean AUROC, the histograms of its scores, and a ROC curve for each OOD set."""
    aurocs = auroc_of(made.metrics)
    for detector, sets in sorted(made.scores.items(), key=lambda pair: pair[0] != COMMON):
        low, high = range_of(*sets.values())
        outlines = [Curve("ID", *histogram(sets["id"], low, high), COLOURS[0], filled=True)]
        lines = []
        for name, (colour, dashes) in styles.items():
            outlines.append(Curve(name, *histogram(sets[name], low, high), colour, dashes=dashes))
            told = f"{name}: AUROC {100 * aurocs[detector, name]:.1f} %"
            lines.append(Curve(told, *roc(sets["id"], sets[name]), colour, dashes=dashes))
        share = Axis("share of images", 0, 1.05 * max(each.y.max() for each in outlines), ticks=False)
        accepted = Axis("OOD images accepted", 0, 1), Axis("ID images accepted", 0, 1)
        curves = ", ".join(line.name for line in lines)
        score = Axis(f"{detector} score", low, high)
        yield {
            "detector": detector,
            "auroc": sum(aurocs[detector, name] for name in styles) / len(styles),
            "histograms": chart(f"Histograms of the {detector} scores", outlines, score, share),
            "roc": chart(f"ROC curves of {detector}: {curves}", lines, *accepted, diagonal=True),
        }


def metric_table(metrics: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Headings, and a row of texts in per cent for each detector, protocol and OOD set."""
    scored = metrics[(metrics["detector"] != "") & (metrics["protocol"] != "grid")]
    place = ["detector", "protocol", "setting", "ood_dataset"]
    wide = scored.pivot(index=place, columns="metric", values="value").reindex(scored[place].drop_duplicates())
    shown = [name for name in HEADINGS if name in wide]
    ends = wide[["auroc_low", "auroc_high"]].to_numpy()
    interval = [f"{100 * low:.1f} to {100 * high:.1f}" for low, high in ends]
    rows = [
        [*names[:2], names[3], *(f"{100 * value:.1f}" for value in values), between, names[2]]
        for names, values, between in zip(wide.index, wide[shown].to_numpy(), interval, strict=True)
    ]
    headings = ["detector", "protocol", "OOD set", *(HEADINGS[name] for name in shown)]
    return [*headings, "AUROC, 95 % over images", "setting"], rows


def own_values(metrics: pd.DataFrame) -> dict[str, str]:
    """What describes the discriminator itself."""
    values = metrics[metrics["detector"] == ""].set_index("metric")["value"]
    return {heading: f"{values[name]:.3f}" for name, heading in OWN.items() if name in values}


def encoded(image: NDArray) -> str:
    """An image (height, width, 3) as an address that holds it whole."""
    kind = "png" if len(image) <= LOSSLESS else "webp"
    file = BytesIO()
    Image.fromarray(image).save(file, kind, **({} if kind == "png" else {"quality": 90}))
    return data_uri(file.getvalue(), kind)


def shown_samples(samples: Mapping[str, NDArray], classes: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Address, class and confidence of the first samples, as many as fit into SAMPLE_BYTES."""
    used = 0
    for image, predicted, confidence in zip(
        samples["images"][:SAMPLES], samples["predicted"], samples["confidence"], strict=False
    ):
        source = encoded(image)
        used += len(source) * 3 // 4
        if used > SAMPLE_BYTES:
            return
        yield source, classes[predicted] if classes else f"class {predicted}", f"{100 * confidence:.0f} %"


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as pairs of a dotted name and a text."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else key)
    else:
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def single_page(
    made: Made, run: str, home: str, configuration: str, keys: Sequence[Key], classes: Sequence[str] = ()
) -> str:
    """The page of a discriminator as HTML, in a run of this name and configuration whose own page is `home`.

    `keys` are the discriminators that have pages, `classes` the names of its classes.
    """
    id_dataset, network, variant, seed = made.key
    headings, rows = metric_table(made.metrics)
    styles = looks([name for name in made.metrics["ood_dataset"].unique() if name])
    return rendered(
        "single.html.j2",
        title=" · ".join((id_dataset, network, variant, f"seed {seed}")),
        run=run,
        configuration=configuration,
        home=home,
        path="/".join(map(str, made.key)),
        card=made.card,
        variants=[(key[2], address(key)) for key in keys if (*key[:2], key[3]) == (id_dataset, network, seed)],
        seeds=[(f"seed {key[3]}", address(key)) for key in keys if key[:3] == made.key[:3]],
        here=address(made.key),
        own=own_values(made.metrics),
        history=list(history_charts(made.history)) if len(made.history) > 1 else [],
        legend=[("ID", COLOURS[0], ""), *((name, *look) for name, look in styles.items())],
        scores=list(score_charts(made, styles)),
        headings=headings,
        rows=rows,
        samples=list(shown_samples(made.samples, classes)),
        drawn=len(made.samples["images"]),
        timings=made.timings,
        provenance=list(flat(made.card["provenance"])),
    )
