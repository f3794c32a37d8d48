"""The page of a run: what it says about the claim, its tables and figures, and the way to each discriminator's page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import isfinite
from typing import Any

import pandas as pd
from markupsafe import Markup
from PIL import Image

from fig.report.captions import caption_of
from fig.report.claim import axis_of, claimed, gains_of, strips
from fig.report.markup import data_uri, rendered
from fig.report.names import COMMON, PATCHED
from fig.report.records import Key
from fig.report.render import html
from fig.report.single import address
from fig.report.tables import comparison, durations, percent, tables_of, values_by_seed

UNTOLD = "not known: its prepared images are not here"
INCH = 110  # CSS pixels for an inch of a picture
FEW = 12  # of what went wrong is said at once
COLLAPSED = 0.1  # spread of generated images, relative to ID images', below which a GAN makes but one image


@dataclass(frozen=True)
class Run:
    """What a run made, as its page shows it."""

    name: str
    cards: Mapping[Key, Mapping[str, Any]]
    metrics: pd.DataFrame
    histories: Mapping[Key, pd.DataFrame]
    timings: pd.DataFrame
    about: Mapping[str, str]  # data set -> a line on it
    tables: Mapping[str, str]  # name -> HTML
    pictures: Mapping[str, bytes]  # name -> PNG
    configuration: str  # what follows --configfile when Snakemake is run
    gaps: Sequence[str] = ()  # a line on each discriminator that is missing


def troubles(histories: Mapping[Key, pd.DataFrame]) -> Iterator[str]:
    """What went wrong in trainings that came to their end, a sentence for each."""
    for key, history in histories.items():
        name = "/".join(map(str, key))
        if "generated_spread" in history and history["generated_spread"].iloc[-1] < COLLAPSED:
            spread = percent(history["generated_spread"].iloc[-1], float("nan"))
            yield f"{name}: the generator collapsed, its images vary {spread} % as much as ID images at the end."
        losses = history[[column for column in history if "loss" in column]]
        if not losses.map(isfinite).all(axis=None):
            yield f"{name}: a loss was not finite."


def told(settings: Mapping[str, Any]) -> str:
    """The settings of a method in a few words."""
    return ", ".join(f"{name} = {value}" for name, value in settings.items() if isinstance(value, int | float | str))


def training_told(training: Mapping[str, Any] | None, from_standard: bool) -> str:
    """How a discriminator was trained, in a few words."""
    if training is None:
        return "elsewhere, taken as it is"
    length = f"{training['epochs']} epochs" if training["epochs"] else f"{training['iterations']} iterations"
    origin = "standard, fine-tuned" if from_standard else "random weights, trained"
    return f"{origin} for {length} of {training['batch_size']} at {training['learning_rate']:g}"


def variants(cards: Mapping[Key, Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    """What each variant of each network is, once for all seeds."""
    seen: dict[Key, list[int]] = {}
    for *names, seed in cards:
        seen.setdefault((*names, 0), []).append(seed)
    for (id_dataset, network, variant, _), seeds in seen.items():
        card = cards[id_dataset, network, variant, seeds[0]]
        made_of = card["provenance"]["made_of"]
        yield {
            "id_dataset": id_dataset,
            "network": f"{network}, width {card['architecture']['width']:g}",
            "variant": variant,
            "trained": training_told(card["settings"].get("training"), "standard" in made_of),
            "method": told(card["settings"].get("method", {}))
            + (", sampler follows a fixed teacher" if "teacher" in made_of else ""),
            "seeds": ", ".join(map(str, seeds)),
        }


def entries(run: Run) -> Iterator[dict[str, Any]]:
    """The list of discriminators: where each one's page is, and how well it does."""
    values = values_by_seed(run.metrics)
    common = values[(values["detector"] == COMMON) & (values["measure"] == "auroc")]
    own = run.metrics[run.metrics["metric"] == "accuracy"]
    place = ["id_dataset", "network", "variant", "seed"]
    aurocs, accuracies = (rows.set_index(place)["value"].to_dict() for rows in (common, own))
    for key, card in run.cards.items():
        numbers = {"accuracy": accuracies.get(key, float("nan")), "auroc": aurocs.get(key, float("nan"))}
        shown = {name: percent(value, float("nan")) for name, value in numbers.items()}
        yield {"address": address(key), "names": key, "key": card["key"], **shown}


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds / 3600:.1f} hours"


def facts(run: Run) -> dict[str, str]:
    """The size of a run."""
    counts = {
        "ID data sets": run.metrics["id_dataset"],
        "networks": run.metrics["network"],
        "variants": run.metrics["variant"],
        "seeds": run.metrics["seed"],
        "OOD sets": run.metrics["ood_dataset"][run.metrics["ood_dataset"] != ""],
        "detectors": run.metrics["detector"][run.metrics["detector"] != ""],
    }
    there = f"{len(run.cards)} of {len(run.cards) + len(run.gaps)}" if run.gaps else str(len(run.cards))
    work = duration((run.timings["ended"] - run.timings["started"]).sum())
    sizes = {name: str(values.nunique()) for name, values in counts.items()}
    return {"discriminators": there, **sizes, "jobs took, together": work}


def scoped(table: str) -> Markup:
    """A table that pandas wrote, with headings that say that they head columns."""
    return Markup(table.replace("<th>", '<th scope="col">'))


def heading(table: str) -> str:
    """What a table is called: Table 1 for table1."""
    return table.replace("table", "Table ").capitalize() if table.startswith("table") else caption_of(table).title


def width_of(png: bytes) -> int:
    """How wide a picture is to be shown, in CSS pixels, so that letters are as large in every one."""
    image = Image.open(BytesIO(png))
    across, _ = image.info.get("dpi", (INCH, INCH))
    return round(image.width * INCH / across)


def page(run: Run) -> str:
    """The page of a run as HTML; the discriminators' own pages are in the folder `pages` beside it."""
    gains = gains_of(run.metrics)
    patched = [gain for gain in gains if gain.variant == PATCHED]
    ood = [name for name in run.metrics["ood_dataset"].unique() if name]
    times = run.timings
    tables = [(name, heading(name), scoped(part)) for name, part in run.tables.items()]
    pictures = [(name, caption_of(name), data_uri(png), width_of(png)) for name, png in run.pictures.items()]
    return rendered(
        "page.html.j2",
        run=run.name,
        configuration=run.configuration,
        facts=facts(run),
        claimed=list(claimed(gains)),
        patched=list(zip(patched, strips(gains, patched, others=True), strict=True)),
        gains=list(zip(gains, strips(gains, gains, others=False), strict=True)),
        axis=axis_of(gains) if gains else None,
        troubles=[*troubles(run.histories), *(f"missing: {gap}" for gap in run.gaps)],
        few=FEW,
        about_tables=caption_of("table"),
        tables=tables,
        pictures=pictures,
        comparison=scoped("\n".join(map(html, tables_of(comparison(run.metrics))))),
        common=COMMON,
        discriminators=list(entries(run)),
        id_datasets={name: run.about.get(name, UNTOLD) for name in run.metrics["id_dataset"].unique()},
        ood_datasets={name: run.about.get(name, UNTOLD) for name in ood},
        variants=list(variants(run.cards)),
        minutes=duration(times["ended"].max() - times["started"].min()),
        durations=scoped(durations(times).to_html(index=False, border=0)),
        versions=next(iter(run.cards.values()))["provenance"]["versions"],
    )
