"""Rule paired: FIG against each other method, with intervals, and the ranks of all methods."""

from fig.report import paired as comparison
from fig.report.gaps import folder_of, gaps
from fig.report.paper import FILES
from fig.report.ranks import picture
from fig.report.records import all_metrics
from fig.report.studies import keys_of
from fig.runtime import timing
from fig.runtime.command import command_line
from fig.stages.shown import Run, Seeds, Studies, Titles, shown_of
from fig.stages.writing import write_figure, write_table, write_text


def paired(studies: Studies, seeds: Seeds, titles: Titles, run: Run) -> None:
    """Compare methods in pairs with FIG (tables/paired.*), and rank them all (figures/ranks.png and .csv).

    Example: python -m fig.stages.paired --studies '[{"id_datasets": ["digits"], "ood_datasets": ["photos-c"],
    "networks": ["resnet18"], "variants": ["standard", "fig"], "detectors": ["baseline"]}]' --seeds '[0, 1]'
    --titles '{}' --run results/demo
    """
    clock = timing.begin("paired", *FILES)
    shown = shown_of(studies, seeds, titles)
    keys = keys_of(shown.studies, shown.seeds)
    missing = gaps(run, keys)
    metrics = all_metrics(folder_of(run, key) for key in keys if key not in missing)
    table = comparison.paired(metrics, shown, missing)
    write_table(run / "tables", table.to_csv(index=False), comparison.table_of(table, shown))
    figure, means = picture(*comparison.to_rank(metrics, shown))
    write_text(run / "figures" / "ranks.csv", means.to_csv(index=False))
    write_figure(run / "figures" / "ranks.png", figure)
    timing.write(clock, run / "tables" / "paired.timing.json")


if __name__ == "__main__":
    command_line(__spec__.name)
