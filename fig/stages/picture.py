"""Rule picture: one of the paper's Figures 1 to 5, as a picture and as the values behind it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from matplotlib.figure import Figure

from fig.report import records
from fig.report.aurocs import aurocs, lacking
from fig.report.embeddings import figure_of_embeddings, points_of
from fig.report.figures import finetuning
from fig.report.gaps import UNEVALUATED, folder_of, is_evaluated, note, why_missing
from fig.report.portraits import figure_of_chains, images_of
from fig.report.records import Key
from fig.report.shares import figure_of_shares, shares
from fig.report.studies import Shown, keys_of
from fig.report.teachers import figure_of_improvements, improvements
from fig.runtime import timing
from fig.runtime.command import command_line
from fig.runtime.origin import BEHIND_PICTURES
from fig.stages.options import Json, parsed
from fig.stages.shown import Run, Seeds, Studies, Titles, shown_of
from fig.stages.writing import write_figure, write_text

HISTORY = ["iteration", "id_confidence", "generated_confidence", "id_energy", "generated_energy"]

Drawn = tuple[Figure, pd.DataFrame]  # a picture, and the values behind it


@dataclass(frozen=True)
class Sources:
    """What a picture is made of."""

    shown: Shown
    folders: Mapping[Key, Path]  # of the discriminators that are there
    missing: Mapping[Key, str]  # why the others are not
    variants: Mapping[str, Mapping[str, Any]]  # as the configuration states them

    def note(self) -> str:
        """What is missing."""
        return note(self.missing)

    def note_on(self, metrics: pd.DataFrame) -> str:
        """What is missing, single AUROCs included."""
        lacked = lacking(aurocs(metrics, self.shown.studies, self.shown.seeds))
        return note({**dict.fromkeys(lacked, UNEVALUATED), **self.missing})


def of_shares(sources: Sources) -> Drawn:
    """Figure 1."""
    shown, folders = sources.shown, sources.folders.values()
    metrics = records.all_metrics(folders)
    values = shares(metrics, records.cards(folders), shown.studies, shown.seeds)
    return figure_of_shares(values, shown.titles, sources.note_on(metrics)), values


def of_teachers(sources: Sources) -> Drawn:
    """Figure 2."""
    shown = sources.shown
    metrics = records.all_metrics(sources.folders.values())
    values = improvements(metrics, shown.studies, shown.seeds)
    return figure_of_improvements(values, sources.variants, shown.titles, sources.note_on(metrics)), values


def of_histories(sources: Sources) -> Drawn:
    """Figure 3."""
    found = records.histories(sources.folders.values())
    cards = records.cards(sources.folders.values())
    classes = {key: card["architecture"]["classes"] for key, card in cards.items()}
    generating = {key: table[HISTORY] for key, table in found.items() if set(HISTORY) <= set(table)}
    return finetuning(found, sources.shown.titles, classes, sources.note()), together(generating)


def of_embeddings(sources: Sources) -> Drawn:
    """Figure 4."""
    found = {key: records.arrays(folder / "embedding.npz") for key, folder in sources.folders.items()}
    values = together({key: points_of(drawn) for key, drawn in found.items()})
    return figure_of_embeddings(found, sources.shown.titles, sources.note()), values


def of_chains(sources: Sources) -> Drawn:
    """Figure 5."""
    found = {key: records.arrays(folder / "chains.npz") for key, folder in sources.folders.items()}
    values = together({key: images_of(drawn) for key, drawn in found.items()})
    return figure_of_chains(found, sources.shown.titles, sources.note()), values


def together(tables: Mapping[Key, pd.DataFrame]) -> pd.DataFrame:
    """Tables one below the other, each with the names of its discriminator."""
    names = ("id_dataset", "network", "variant", "seed")
    parts = [table.assign(**dict(zip(names, key, strict=True))) for key, table in tables.items()]
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(names))
    return whole[[*names, *(name for name in whole if name not in names)]]


@dataclass(frozen=True)
class Kind:
    """How a picture is made."""

    draw: Callable[[Sources], Drawn]
    first: bool = False  # of the first seed alone


KINDS = {
    "fig1": Kind(of_shares),
    "fig2": Kind(of_teachers),
    "fig3": Kind(of_histories),
    "fig4": Kind(of_embeddings, first=True),
    "fig5": Kind(of_chains, first=True),
}


def is_there(folder: Path, needed: Sequence[str]) -> bool:
    """Whether a folder has the files that a figure is made of; metrics count only if they are of its weights."""
    return all((folder / name).exists() for name in needed) and ("metrics.csv" not in needed or is_evaluated(folder))


def picture(
    target: Annotated[str, typer.Option(help="fig1 to fig5.")],
    studies: Studies,
    seeds: Seeds,
    titles: Titles,
    run: Run,
    variants: Json = "{}",
) -> None:
    """Draw a figure of the paper as PNG, and write its values as CSV.

    Example: python -m fig.stages.picture --target fig3 --studies '[{"id_datasets": ["digits"],
    "ood_datasets": ["photos-c"], "networks": ["resnet18"], "variants": ["standard", "fig"],
    "detectors": ["baseline"]}]' --seeds '[0]' --titles '{}' --run results/demo
    """
    clock = timing.begin("picture")
    shown, kind = shown_of(studies, seeds, titles), KINDS[target]
    seeded = shown.seeds[:1] if kind.first else shown.seeds
    folders = {key: folder_of(run, key) for key in keys_of(shown.studies, seeded)}
    there = {key: folder for key, folder in folders.items() if is_there(folder, BEHIND_PICTURES[target])}
    missing = {key: why_missing(folder, run / "logs") for key, folder in folders.items() if key not in there}
    figure, values = kind.draw(Sources(shown, there, missing, parsed(variants, "--variants")))
    write_figure(run / "figures" / f"{target}.png", figure)
    write_text(run / "figures" / f"{target}.csv", values.to_csv(index=False))
    timing.write(clock, run / "figures" / f"{target}.timing.json")


if __name__ == "__main__":
    command_line(__spec__.name)
