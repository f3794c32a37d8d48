"""A progress bar for a job that runs elsewhere and reports by appending rows to a CSV file."""

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from tqdm import tqdm


def last_row(path: Path) -> dict[str, str]:
    """Return the newest row of a CSV file, or an empty dictionary without one."""
    with suppress(FileNotFoundError), path.open(newline="") as file:
        rows = list(csv.DictReader(file))
        return rows[-1] if rows else {}
    return {}


@contextmanager
def show_progress(path: Path, total: int, title: str) -> Iterator[None]:
    """Show the column `iteration` of the file at `path` as a bar of `total`, and `loss`, while the block runs."""
    over = Event()
    seconds = 0.5 if sys.stderr.isatty() else 10.0  # a log file needs fewer lines

    def watch() -> None:
        with tqdm(total=total, desc=title, unit="iteration", mininterval=0, miniters=1) as bar:
            while True:
                ended = over.wait(seconds)
                row = last_row(path)
                if row:
                    bar.set_postfix(loss=f"{float(row['loss']):.3f}", refresh=False)
                    bar.update(int(row["iteration"]) - bar.n)
                if ended:
                    return

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
