"""Rule download: a file as its publisher offers it, checked against its hash."""

from pathlib import Path

from fig.data.catalogue import File
from fig.runtime.job import Job, Output, Runtime, Setting, run_stage
from fig.runtime.record import Times
from fig.settings import settings


@settings(kw_only=True)
class Download(Job):
    """Fetch a publisher's file; an interrupted transfer resumes.

    Example: python -m fig.stages.download --output data/downloads/svhn/test_32x32.mat
    --file.url http://ufldl.stanford.edu/housenumbers/test_32x32.mat --file.hash md5:eb5a983be6a315427106f1b164d9cef3
    """

    file: Setting[File]
    """The file as its publisher offers it."""
    output: Output[Path]
    """Where the file goes: .../<source>/<name>."""
    mirror: Runtime[str] = ""
    """A base URL or a folder with <source>/<name> in it, instead of the publisher's server."""
    accept_unknown_hashes: Runtime[bool] = False
    """Accept a file whose publisher states no hash, and record its hash."""
    hashes: Runtime[Path | None] = None
    """Where those hashes are recorded; config/data.lock.yaml unless given."""

    def record_path(self) -> Path | None:
        """A download leaves no record: its hash is checked."""
        return None

    def run(self, times: Times) -> None:
        """Fetch the file, or what is missing of it."""
        from fig.data.download import HASHES, download

        download(self.output, self.file, self.mirror, self.accept_unknown_hashes, self.hashes or HASHES)


if __name__ == "__main__":
    run_stage(__spec__.name)
