"""fig report: tables, figures and page of what there is of a run, and what is missing."""

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

Config = dict[str, Any]


def tables_of(study: Config, run: Path) -> list[Path]:
    """Make those of the paper's tables that the studies name; cells are empty where a discriminator is missing."""
    from fig.configuration import COMPARING, discriminators, shown, studies_for
    from fig.stages.paired import paired
    from fig.stages.speeds import speeds
    from fig.stages.table import table

    named = [target for target in ("table1", "table2", "table3", "table4") if studies_for(study, target)]
    for target in named:
        table(target, *map(json.dumps, shown(study, target).values()), run)
    if comparing := [target for target in named if target in COMPARING]:
        paired(*map(json.dumps, shown(study, *comparing).values()), run)
        named.append("paired")
    if measured := {(each.id_dataset, each.network): None for each in discriminators(study, "table5")}:
        speeds([run / "throughput" / id_dataset / f"{network}.json" for id_dataset, network in measured], run)
        named.append("table5")
    if studies_for(study, "resampling") and resampled(study, run):
        named.append("resampling")
    return [run / "tables" / f"{target}.html" for target in named]


def resampled(study: Config, run: Path) -> bool:
    """Compare gains with the images' spectra; whether the images are there for that."""
    from fig.configuration import shown, splits
    from fig.stages.spectra import spectra

    images = [Path(f"{split}.npy") for split in splits(study, "resampling") if split.endswith("/test")]
    if not all(path.exists() for path in images):
        return False
    spectra(images, *map(json.dumps, shown(study, "resampling").values()), run)
    return True


def pictures_of(study: Config, run: Path) -> list[Path]:
    """Draw those of the paper's figures that the studies name; each says which discriminators are missing."""
    from fig.configuration import TARGETS, shown, studies_for
    from fig.runtime.origin import BEHIND_PICTURES
    from fig.stages.picture import picture

    named = [target for target in TARGETS if studies_for(study, target)]
    for target in named:
        if target in BEHIND_PICTURES:
            picture(target, *map(json.dumps, shown(study, target).values()), run, json.dumps(study["variants"]))
    files = [run / "figures" / f"{name}.png" for name in (*named, "ranks", "finetuning", "scores", "samples")]
    return [path for path in files if path.exists()]


def report(
    configfile: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="The run's configuration.")],
    config: Annotated[list[str], typer.Option(help="KEY=VALUE, as Snakemake was told; repeatable.")] = [],  # noqa: B006
) -> None:
    """Make tables, figures and a page of those discriminators of a run that are there, and name the others.

    The workflow makes them when everything is there; this is for a run some of whose jobs failed, and its page is
    partial.html. It counts as nothing for Snakemake, which makes tables, figures and report.html when it is run again.

    Example: fig report config/paper.yaml
    """
    from fig.configuration import discriminators, read, splits
    from fig.report.gaps import folder_of, gaps
    from fig.stages.figures import figures
    from fig.stages.report import PARTIAL
    from fig.stages.report import report as page
    from fig.stages.tables import tables

    study = read(configfile, config)
    run = Path("results") / study["run"]
    keys = [(each.id_dataset, each.network, each.variant, each.seed) for each in discriminators(study)]
    missing = gaps(run, keys)
    there = [folder_of(run, key) for key in keys if key not in missing]
    if not there:
        raise ValueError(f"no discriminator of {run} is evaluated yet: there is nothing to report")
    tables(there, run)
    figures(there, run / "figures")
    prepared = [path for split in splits(study) if (path := Path(f"{split}.json")).exists()]
    gone = [f"{'/'.join(map(str, key))}: {reason}" for key, reason in missing.items()]
    told = shlex.join([*map(str, configfile), *["--config"] * bool(config), *config])
    made = tables_of(study, run), pictures_of(study, run)
    page(there, run, prepared, [], *made, gone, told, partial=True)
    for record in (*run.glob("tables/*timing.json"), *run.glob("figures/*timing.json")):
        record.unlink(missing_ok=True)  # Snakemake makes a missing record where a missing report needs it
    print(f"{run / PARTIAL} shows {len(there)} of {len(keys)} discriminators")
