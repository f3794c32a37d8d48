"""Rule speeds: the paper's Table 5, the sampler's throughput beside the paper's."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fig.report.paper import FILES
from fig.report.speeds import speeds as form_of
from fig.report.speeds import table_of
from fig.runtime import timing
from fig.runtime.command import command_line
from fig.stages.shown import Run
from fig.stages.writing import write_table


def speeds(
    throughput: Annotated[list[Path], typer.Option(help="<ID data set>/<network>.json, a measurement; repeatable.")],
    run: Run,
) -> None:
    """Make Table 5 as CSV, Markdown, LaTeX and HTML; what was not measured is an empty row.

    Example: python -m fig.stages.speeds --throughput results/demo/throughput/digits/resnet18.json --run results/demo
    """
    clock = timing.begin("speeds", *FILES)
    measured = [json.loads(path.read_text()) for path in throughput if path.exists()]
    form = form_of(measured, [(path.parent.name, path.stem) for path in throughput])
    write_table(run / "tables", form.to_csv(index=False), table_of(form))
    timing.write(clock, run / "tables" / "table5.timing.json")


if __name__ == "__main__":
    command_line(__spec__.name)
