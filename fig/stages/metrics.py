"""Rule metrics: the metrics of all discriminators of a run in one file."""

from collections.abc import Iterator
from pathlib import Path

from fig.runtime.job import Job, JsonSetting, Output, run_stage
from fig.runtime.record import SUFFIX, Times
from fig.settings import settings
from fig.study.selection import Selection


@settings(kw_only=True)
class Metrics(Job):
    """Gather the metrics of all discriminators in <folder>/metrics.csv.

    Example: python -m fig.stages.metrics --folder results/demo --selection '{"seeds": [0], "studies":
    [{"id_datasets": ["digits"], "ood_datasets": ["photos-c"], "networks": ["resnet18"], "variants": ["fig"],
    "detectors": ["baseline"]}]}'
    """

    selection: JsonSetting[Selection]
    """All studies and seeds of the run, as JSON."""
    folder: Output[Path]
    """The run's folder, results/<run>."""

    def inputs(self) -> Iterator[Path]:
        """The metrics of each discriminator."""
        yield from (self.folder / path for path in self.selection.files("metrics.csv"))

    def record_path(self) -> Path:
        """Return the path of the record, next to the file."""
        return (self.folder / "metrics").with_suffix(SUFFIX)

    def run(self, times: Times) -> None:
        """Write metrics.csv."""
        from fig.report.results import read_run
        from fig.stages.support.writing import write_text

        results = read_run(self.folder, self.selection.list_keys())
        write_text(self.folder / "metrics.csv", results.metrics.to_csv(index=False))


if __name__ == "__main__":
    run_stage(__spec__.name)
