"""Rule table: one of the paper's Tables 1 to 4, ours beside the paper's values."""

from typing import Annotated

import typer

from fig.report.forms import KINDS, form_of
from fig.report.gaps import folder_of, gaps
from fig.report.paper import FILES
from fig.report.readable import table_of
from fig.report.records import all_metrics
from fig.report.studies import keys_of
from fig.runtime import timing
from fig.runtime.command import command_line
from fig.stages.shown import Run, Seeds, Studies, Titles, shown_of
from fig.stages.writing import write_table


def table(
    target: Annotated[str, typer.Option(help="table1 to table4.")],
    studies: Studies,
    seeds: Seeds,
    titles: Titles,
    run: Run,
) -> None:
    """Make a table of the paper as CSV, Markdown, LaTeX and HTML.

    Example: python -m fig.stages.table --target table2 --studies '[{"id_datasets": ["digits"],
    "ood_datasets": ["photos-c"], "networks": ["resnet18"], "variants": ["standard", "fig"],
    "detectors": ["baseline"]}]' --seeds '[0]' --titles '{}' --run results/demo
    """
    clock = timing.begin("table", *FILES)
    shown = shown_of(studies, seeds, titles)
    keys = keys_of(shown.studies, shown.seeds)
    missing = gaps(run, keys)
    metrics = all_metrics(folder_of(run, key) for key in keys if key not in missing)
    form = form_of(KINDS[target], metrics, shown, missing)
    write_table(run / "tables", form.to_csv(index=False), table_of(target, form, shown))
    timing.write(clock, run / "tables" / f"{target}.timing.json")


if __name__ == "__main__":
    command_line(__spec__.name)
