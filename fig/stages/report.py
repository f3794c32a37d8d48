"""Rule report: the page of a run, and a page for each of its discriminators."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from fig.runtime.job import Input, Job, JsonSetting, Output, Runtime, Setting, run_stage
from fig.runtime.record import SUFFIX, Times
from fig.settings import settings
from fig.study.selection import Selection
from fig.study.targets import TARGETS


@settings(kw_only=True)
class Report(Job):
    """Write the page of a run, <folder>/report.html, and those of its discriminators, below <folder>/pages.

    Example: python -m fig.stages.report --folder results/demo --data data/32/digits/test.json --targets table1
    --selection '{"seeds": [0], "studies": [{"id_datasets": ["digits"], "ood_datasets": ["photos-c"],
    "networks": ["resnet18"], "variants": ["standard", "fig"], "detectors": ["baseline"]}]}'
    """

    work: ClassVar[str] = "fig.stages.support.pages:write_pages"

    selection: JsonSetting[Selection]
    """All studies and seeds of the run, as JSON."""
    targets: Setting[tuple[str, ...]]
    """A target that the page shows; repeatable."""
    data: Input[tuple[Path, ...]]
    """The description (JSON) of a prepared split; repeatable."""
    parents: Runtime[tuple[Path, ...]] = ()
    """The record of a discriminator that others are made from and that is not evaluated, for its time; repeatable."""
    configuration: Runtime[str] = "FILE"
    """What follows --configfile when Snakemake is run."""
    folder: Output[Path]
    """The run's folder, results/<run>."""

    def inputs(self) -> Iterator[Path]:
        """What the pages show: of each discriminator and each target."""
        yield from super().inputs()
        for name in ("discriminator.json", "history.csv", "metrics.csv"):
            yield from (self.folder / path for path in self.selection.files(name))
        for row in (TARGETS[name] for name in self.targets):
            yield from (self.folder / path for path in row.outputs() if path.endswith((".html", ".png")))

    def record_path(self) -> Path:
        """Return the path of the record, next to the page."""
        return (self.folder / "report").with_suffix(SUFFIX)

    def run(self, times: Times) -> None:
        """Write the pages."""
        self.load_work()(self, partial=False)


if __name__ == "__main__":
    run_stage(__spec__.name)
