"""The page: one self-contained HTML file that says what was run, what came out and how long it took."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from fig.report.records import Key
from fig.report.tables import comparison, durations, html, percent, values_by_seed

TEMPLATE = Path(__file__).with_name("page.html.j2")
COLLAPSED = 0.1  # spread of generated images, relative to ID images', below which a GAN makes but one image

PICTURES = {
    "finetuning": (
        "Fine-tuning from the inside",
        "Confidence and energy of the ID images of each batch, and of the generated images before the batch's update. "
        "FIG works where the confidence of generated images falls and that of ID images stays. Where a teacher is "
        "followed, the generated images' curves are the teacher's own, which does not change. Thin lines are seeds.",
    ),
    "scores": (
        "Scores before and after",
        "How often each score occurs among ID and OOD test images, all seeds together. The less the filled ID "
        "histogram and the OOD outlines overlap, the better the discriminator tells them apart.",
    ),
    "samples": (
        "What a discriminator is sure about",
        "Samples of each discriminator's own implicit generator, with the class and the confidence it gives them. "
        "They begin as noise and follow the discriminator's energy; none of them is a digit or a photograph, so "
        "confidence here is misplaced.",
    ),
}


def findings(metrics: pd.DataFrame) -> Iterator[str]:
    """What came out, a sentence for each network, ID data set and detector: standard's AUROC and who changes it."""
    values = values_by_seed(metrics)
    for (id_dataset, network, detector, protocol), rows in values.groupby(
        ["id_dataset", "network", "detector", "protocol"], sort=False
    ):
        aurocs = rows[(rows["measure"] == "auroc") & (rows["variant"] == "standard")]["value"]
        gains = rows[rows["measure"] == "gain"]
        if aurocs.empty or gains.empty:
            continue
        changes = (
            f"{variant} {percent(own.mean(), own.std(), signed=True)} (up for {(own > 0).sum()} of {len(own)} seeds)"
            for variant, own in gains.groupby("variant", sort=False)["value"]
        )
        by = f" ({protocol})" if protocol else ""
        yield (
            f"On {id_dataset} with {network}, the {detector} detector's AUROC{by} over the OOD sets is "
            f"{percent(aurocs.mean(), aurocs.std())} % for standard; relative to it, in points: {', '.join(changes)}."
        )


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


def page(
    run: str,
    cards: Mapping[Key, Mapping[str, Any]],
    metrics: pd.DataFrame,
    histories: Mapping[Key, pd.DataFrame],
    timings: pd.DataFrame,
    pictures: Mapping[str, bytes],
    about: Mapping[str, str],
    tables: Mapping[str, str],
    gaps: Sequence[str] = (),
) -> str:
    """The page of a run as HTML.

    `pictures` are the PNG files of the figures by name (see PICTURES), `about` has a line on each data set by name,
    `tables` the HTML of the paper's tables by name, `gaps` a line on each discriminator that is missing.
    """
    ood = [name for name in metrics["ood_dataset"].unique() if name]
    span = timings["ended"].max() - timings["started"].min()
    return (
        Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        .from_string(TEMPLATE.read_text(encoding="utf-8"))
        .render(
            run=run,
            findings=list(findings(metrics)),
            id_datasets={name: about[name] for name in metrics["id_dataset"].unique()},
            ood_datasets={name: about[name] for name in ood},
            variants=list(variants(cards)),
            troubles=[*(f"missing: {gap}" for gap in gaps), *troubles(histories)],
            comparison=html(comparison(metrics)),
            tables=tables,
            pictures=[(*PICTURES[name], b64encode(png).decode()) for name, png in pictures.items()],
            durations=durations(timings).to_html(index=False, border=0),
            minutes=f"{span // 60:.0f} min {span % 60:.0f} s",
            cards=cards,
            versions=next(iter(cards.values()))["provenance"]["versions"],
        )
    )
