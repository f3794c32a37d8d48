"""Rule spectra: AUROC on the same OOD images under each resampler, beside the spectra of the images."""

from pathlib import Path
from typing import Annotated

import typer

from fig.data.arrays import open_split
from fig.report.aurocs import aurocs, lacking
from fig.report.gaps import UNEVALUATED, folder_of, gaps, note
from fig.report.records import all_metrics
from fig.report.resampling import (
    Spectra,
    compared,
    correlation,
    figure_of_resampling,
    table_of,
    tidy_spectra,
)
from fig.report.spectra import spectrum
from fig.report.studies import Shown, keys_of
from fig.runtime import timing
from fig.runtime.command import command_line
from fig.stages.shown import Run, Seeds, Studies, Titles, shown_of
from fig.stages.writing import write_figure, write_table, write_text


def spectra_of(splits: list[Path], shown: Shown) -> Spectra:
    """Spectra of each ID data set's images and of its OOD sets', all of one size.

    `splits` are prepared arrays, data/<size>/<data set>/test.npy.
    """
    found = {(path.parts[-3], path.parts[-2]): spectrum(open_split(path).images) for path in splits}
    sizes = {name: size for size, name in found}
    by_id: dict[str, dict] = {}
    for study in shown.studies:
        for name in study.id_datasets:
            wanted = (name, *study.ood_datasets)
            by_id.setdefault(name, {}).update({each: found[sizes[name], each] for each in wanted})
    return by_id


def spectra(
    data: Annotated[list[Path], typer.Option(exists=True, help="A prepared test split or OOD set; repeatable.")],
    studies: Studies,
    seeds: Seeds,
    titles: Titles,
    run: Run,
) -> None:
    """Compare gains in AUROC with the images' high frequencies, as a table and a picture.

    Example: python -m fig.stages.spectra --data data/32/digits/test.npy --data data/32/photos-c/test.npy
    --studies '[{"id_datasets": ["digits"], "ood_datasets": ["photos-c"], "networks": ["resnet18"],
    "variants": ["standard", "fig"], "detectors": ["baseline"]}]' --seeds '[0]' --titles '{}' --run results/demo
    """
    clock = timing.begin("spectra")
    shown = shown_of(studies, seeds, titles)
    keys = keys_of(shown.studies, shown.seeds)
    missing = gaps(run, keys)
    metrics = all_metrics(folder_of(run, key) for key in keys if key not in missing)
    found = spectra_of(data, shown)
    values = compared(metrics, shown, found)
    correlations = correlation(metrics, shown, values)
    lacked = dict.fromkeys(lacking(aurocs(metrics, shown.studies, shown.seeds)), UNEVALUATED)
    told = note({**lacked, **missing})
    write_table(run / "tables", values.to_csv(index=False), table_of(values, correlations, told))
    write_text(run / "figures" / "resampling.csv", tidy_spectra(found).to_csv(index=False))
    write_figure(
        run / "figures" / "resampling.png", figure_of_resampling(values, correlations, found, shown.titles, told)
    )
    timing.write(clock, run / "tables" / "resampling.timing.json")


if __name__ == "__main__":
    command_line(__spec__.name)
