"""The page of a run: what it says about the claim, its tables and figures, and links to its discriminators' pages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from fig.intact import read_object, read_scores
from fig.report.claim import draw_rows, fit_gains, fit_pairs, list_gains, state_claim
from fig.report.markup import encode_file, render, width_of
from fig.report.measures import PATCHED, STANDARD, is_compared, tidy_by_seed
from fig.report.results import KEY, Results, describe_missing, group_by, read_laid_out, read_run, remedy_of
from fig.report.single import Single, address_of, render_single
from fig.report.tables import MEANINGS, format_percent, html_cells, strip_page
from fig.settings import Json
from fig.study.selection import Key
from fig.study.targets import Target

WHOLE, PARTIAL = "report.html", "partial.html"  # the page of a run, and of one that may lack something
NEEDS = ("metrics.csv", "history.csv", "samples.npz", "scores")  # of a discriminator
TIMES = ["stage", "started", "ended", "startup", "ray", "tracking"]
RECORD = {"stage": str} | {f"times.{name}": int | float for name in TIMES[1:]}
UNKNOWN = "not known: its prepared images are not here"
EMBEDDED = 2_000_000  # bytes of a figure that the page holds itself; with 20 MB in it a browser takes seconds
FEW = 12  # of what went wrong is shown at once
COLLAPSED = 0.1  # spread of generated images, relative to ID images', below which a GAN makes but one image


@dataclass(frozen=True)
class RunPage:
    """What the page of a run shows."""

    results: Results
    records: Sequence[Mapping[str, Json]]  # of jobs: stage, command and times
    about: Mapping[str, str]  # data set -> a line on it
    tables: Sequence[tuple[Target, str]]  # each with its HTML
    figures: Sequence[tuple[Target, bytes]]  # each as PNG
    configuration: str  # what follows --configfile when Snakemake is run


def build_pages(
    run: Path,
    keys: Sequence[Key],
    *,
    targets: Sequence[Target] = (),
    data: Sequence[Path] = (),
    records: Sequence[Path] = (),
    configuration: str = "FILE",
    partial: bool = False,
) -> Iterator[tuple[str, str]]:
    """Build the page of a run, then one for each of its discriminators: path below the run's folder, and text.

    `keys` are all discriminators that are asked for; the page names the missing ones. `targets` are those that are
    planned: their tables and figures are read from the run's folder, as far as they are there. `data` are JSON files of
    prepared splits, `records` those of jobs. A `partial` page is of a run that may lack something.
    """
    home = PARTIAL if partial else WHOLE
    results = read_run(run, keys, NEEDS)
    descriptions = {path.parent.name: read_object(path, {"about": str}, "prepare it again") for path in data}
    jobs = {path: flatten_record(read_object(path, RECORD, remedy_of(path))) for path in dict.fromkeys(records)}
    page = RunPage(
        results,
        list(jobs.values()),
        {name: each["about"] for name, each in descriptions.items()},
        [(each, strip_page(path.read_text("utf-8"))) for each, path in list_files(run, targets, "tables", "html")],
        [(each, path.read_bytes()) for each, path in list_files(run, targets, "figures", "png")],
        configuration,
    )
    yield home, render_page(page)
    own = dict(iter(results.metrics.groupby(KEY)))
    records_in = group_by(jobs, lambda path: path.parent)
    other_variants = group_by(results.folders, lambda key: (key[0], key[1], key[3]))
    other_seeds = group_by(results.folders, lambda key: key[:3])
    for key, folder in results.folders.items():
        single = Single(
            key,
            results.cards[key],
            results.histories[key],
            own[key],
            {path.stem: read_scores(path, remedy_of(path)) for path in sorted(folder.glob("scores/*.npz"))},
            read_laid_out(folder / "samples.npz"),
            [jobs[path] for path in records_in.get(folder, ())],
            descriptions.get(key[0], {}).get("classes", []),
            other_variants[key[0], key[1], key[3]],
            other_seeds[key[:3]],
        )
        yield f"pages/{address_of(key)}", render_single(single, run.name, home, configuration)


def list_files(run: Path, targets: Sequence[Target], folder: str, suffix: str) -> Iterator[tuple[Target, Path]]:
    """The files of this kind that targets have left."""
    for target in targets:
        path = run / folder / f"{target.name}.{suffix}"
        if path.exists():
            yield target, path


def flatten_record(record: Mapping[str, Json]) -> dict[str, Json]:
    """Stage, command and times of a job."""
    return {"stage": record["stage"], "command": record.get("command", ""), **record["times"]}


def list_troubles(results: Results) -> Iterator[str]:
    """What went wrong in trainings that came to their end, then what is missing, in sentences."""
    for key, history in results.histories.items():
        name = "/".join(map(str, key))
        if "generated_spread" in history and history["generated_spread"].iloc[-1] < COLLAPSED:
            spread = format_percent(history["generated_spread"].iloc[-1])
            yield f"{name}: the generator collapsed, its images vary {spread} % as much as ID images at the end."
        losses = history[[column for column in history if "loss" in column]]
        if not losses.map(isfinite).all(axis=None):
            yield f"{name}: a loss was not finite."
    yield from describe_missing(results.missing)


def describe_settings(settings: Mapping[str, Json]) -> str:
    """The settings of a method in a few words."""
    return ", ".join(f"{name} = {value}" for name, value in settings.items() if isinstance(value, int | float | str))


def find_base(made_of: Mapping[str, Json]) -> str:
    """Return the variant that was fine-tuned, by the first folder among a card's inputs; empty for random weights."""
    if made_of["stage"] not in ("finetune", "transfer"):
        return ""
    folders = (Path(path) for path in made_of.get("inputs", {}) if not Path(path).suffix)
    return next((folder.parent.name for folder in folders), STANDARD)


def describe_training(training: Mapping[str, Json] | None, base: str) -> str:
    """How a discriminator was trained, in a few words; `base` is the variant that was fine-tuned, if one was."""
    if training is None:
        return "elsewhere, taken as it is"
    length = f"{training['epochs']} epochs" if training["epochs"] else f"{training['iterations']} iterations"
    origin = f"{base}, fine-tuned" if base else "random weights, trained"
    return f"{origin} for {length} of {training['batch_size']} at {training['learning_rate']:g}"


def list_variants(cards: Mapping[Key, Mapping[str, Json]]) -> Iterator[dict[str, str]]:
    """What each variant of each network is, once for all seeds."""
    seeds: dict[tuple[str, str, str], list[int]] = {}
    for id_dataset, network, variant, seed in cards:
        seeds.setdefault((id_dataset, network, variant), []).append(seed)
    for (id_dataset, network, variant), own in seeds.items():
        card = cards[id_dataset, network, variant, own[0]]
        made_of = card["provenance"]["made_of"]
        yield {
            "id_dataset": id_dataset,
            "network": f"{network}, width {card['architecture']['width']:g}",
            "variant": variant,
            "trained": describe_training(card["settings"].get("training"), find_base(made_of)),
            "method": describe_settings(card["settings"].get("method", {}))
            + ", sampler follows a fixed teacher" * (made_of["stage"] == "transfer"),
            "seeds": ", ".join(map(str, own)),
        }


def list_discriminators(results: Results) -> Iterator[dict[str, Json]]:
    """Each discriminator's page, accuracy, and AUROC under the detector by which its variant is compared."""
    values = tidy_by_seed(results.metrics)
    aurocs = values[(values["measure"] == "auroc") & is_compared(values)]
    accuracies = results.metrics[results.metrics["metric"] == "accuracy"]
    found = {"auroc": aurocs, "accuracy": accuracies}
    numbers = {name: rows.set_index(KEY)["value"].to_dict() for name, rows in found.items()}
    for key, card in results.cards.items():
        texts = {name: format_percent(values.get(key, float("nan"))) for name, values in numbers.items()}
        yield {"address": address_of(key), "names": key, "key": card["key"], **texts}


def format_duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 3600:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s"
    return f"{seconds / 3600:.1f} hours"


def count_parts(results: Results, times: pd.DataFrame) -> dict[str, str]:
    """The size of a run."""
    columns = {"ID data sets": "id_dataset", "networks": "network", "variants": "variant", "seeds": "seed"}
    columns |= {"OOD sets": "ood_dataset", "detectors": "detector"}
    found = {name: results.metrics[column] for name, column in columns.items()}
    sizes = {name: values[values != ""].nunique() for name, values in found.items()}
    there, missing = len(results.folders), len(results.missing)
    return {
        "discriminators": f"{there} of {there + missing}" if missing else str(there),
        **{name: str(size) for name, size in sizes.items()},
        "jobs took, together": format_duration((times["ended"] - times["started"]).sum()),
    }


def average_times(times: pd.DataFrame) -> pd.DataFrame:
    """Time by stage, as text: jobs, their hours, and mean seconds of a job and of its parts.

    `times` has a row for each job: stage, started, ended (seconds since the epoch), startup, ray, tracking. What is
    none of the last three is the stage's own work.
    """
    overheads = {"startup": "starting Python", "ray": "Ray", "tracking": "MLflow"}
    rows = times.sort_values("started").assign(total=times["ended"] - times["started"])
    rows["work"] = rows["total"] - rows[list(overheads)].sum(axis="columns")
    grouped = rows.groupby("stage", sort=False)
    shown = grouped[["total", "work", *overheads]].mean().map("{:.1f}".format)
    shown.insert(0, "jobs", grouped.size())
    shown.insert(1, "hours, together", (grouped["total"].sum() / 3600).map("{:.2f}".format))
    return shown.reset_index().rename(columns={"total": "seconds a job", "work": "own work", **overheads})


def list_tables(tables: Sequence[tuple[Target, str]]) -> Iterator[tuple[Target, str, Markup]]:
    """Each table with its caption; one that is the same as that of the table before is left out."""
    before = ""
    for target, part in tables:
        shown = part.replace(f"<p>{escape(target.title)}; ", "<p>")  # the title is its heading
        yield target, "" if target.caption == before else target.caption, Markup(shown)
        before = target.caption


def list_outputs(run: Path, target: Target) -> dict[str, list[str]]:
    """The files of a target that are in the run's folder, below it: of its tables and of its figure."""
    there = [path for path in target.outputs() if (run / path).exists()]
    return {kind: [path for path in there if path.startswith(kind)] for kind in ("tables", "figures")}


def locate_figure(target: Target, png: bytes) -> str:
    """The address of a figure: of the page's own copy, or of its file where that would make the page slow."""
    return encode_file(png) if len(png) <= EMBEDDED else f"figures/{target.name}.png"


def render_page(page: RunPage) -> str:
    """Render the page of a run as HTML; the discriminators' own pages are in the folder `pages`."""
    results = page.results
    metrics = results.metrics
    times = pd.DataFrame(page.records, columns=[*TIMES, "work"]).astype(dict.fromkeys(TIMES[1:], float))
    gains = list_gains(metrics)
    patched = [gain for gain in gains if gain.variant == PATCHED]
    ood = [name for name in metrics["ood_dataset"].unique() if name]
    detectors = metrics.loc[is_compared(metrics), "detector"].unique()
    return render(
        "page.html.j2",
        run=results.run.name,
        configuration=page.configuration,
        facts=count_parts(results, times),
        claim=list(state_claim(gains)),
        patched=draw_rows(gains, patched, others=True),
        gains=draw_rows(gains, gains, others=False),
        axes=(fit_gains(gains), fit_pairs(gains)) if gains else None,
        troubles=list(list_troubles(results)),
        few=FEW,
        tables=list(list_tables(page.tables)),
        files={target.name: list_outputs(results.run, target) for target, _ in [*page.tables, *page.figures]},
        meanings=MEANINGS,
        figures=[(target, locate_figure(target, png), width_of(png)) for target, png in page.figures],
        detectors=" or ".join(detectors),
        discriminators=list(list_discriminators(results)),
        id_datasets={name: page.about.get(name, UNKNOWN) for name in metrics["id_dataset"].unique()},
        ood_datasets={name: page.about.get(name, UNKNOWN) for name in ood},
        variants=list(list_variants(results.cards)),
        commits=results.commits,
        total=format_duration(times["ended"].max() - times["started"].min()) if len(times) else "",
        times=Markup(html_cells(average_times(times))) if len(times) else "",
        versions=next((card["provenance"]["versions"] for card in results.cards.values()), {}),
    )
