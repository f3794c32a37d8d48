"""The rule of every target: a table or figure, from what is on disk of the discriminators that it shows."""

from collections.abc import Iterator
from pathlib import Path

from fig.runtime.job import Input, Job, JsonSetting, Output, Setting, run_stage
from fig.runtime.record import Times
from fig.settings import settings
from fig.study.selection import Selection
from fig.study.targets import TARGETS


@settings(kw_only=True)
class MakeTarget(Job):
    """Make a table (CSV, Markdown, LaTeX, HTML) or a figure (PNG, CSV).

    Example: python -m fig.stages.target --target table2 --folder results/demo --selection '{"seeds": [0],
    "studies": [{"id_datasets": ["digits"], "ood_datasets": ["photos-c"], "networks": ["resnet18"],
    "variants": ["standard", "fig"], "detectors": ["baseline"]}]}'
    """

    target: Setting[str]
    """Name of the target."""
    selection: JsonSetting[Selection]
    """What it shows, as JSON: studies, seeds, the paper's names of data sets, what is stated of variants."""
    images: Input[tuple[Path, ...]] = ()
    """A prepared test split or OOD set; repeatable."""
    folder: Output[Path]
    """The run's folder, results/<run>."""

    def modules(self) -> tuple[str, ...]:
        """The target's own module."""
        return (f"fig.report.targets.{TARGETS[self.target].module}",)

    def inputs(self) -> Iterator[Path]:
        """The files of the discriminators that it shows."""
        yield from super().inputs()
        yield from (self.folder / path for path in TARGETS[self.target].files(self.selection))

    def record_path(self) -> Path:
        """Return the path of the record, next to the table or, without a table, the figure."""
        return self.folder / TARGETS[self.target].record

    def run(self, times: Times) -> None:
        """Write the target's files."""
        from fig.report.results import read_results
        from fig.report.targets import make_target
        from fig.stages.support.writing import write_made

        row = TARGETS[self.target]
        made = make_target(row, read_results(self.folder, self.selection, row, self.images), self.selection)
        write_made(self.folder, row, made)


if __name__ == "__main__":
    run_stage(__spec__.name)
