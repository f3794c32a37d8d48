"""Fetch a publisher's file: resumed where it was interrupted, checked against its hash, by one job at a time."""

import shutil
import time
from pathlib import Path

import pooch
import requests
import yaml
from filelock import FileLock
from tqdm import tqdm

from fig.data.addresses import check_mirror, check_redirect
from fig.data.catalogue import File
from fig.files import explaining, partial_of, put_in_place, replacing
from fig.intact import explain_damage
from fig.settings import Json

HASHES = Path("config/data.lock.yaml")  # of files whose publishers state no hash, recorded at the first download
CHUNK = 1 << 15  # bytes; what a broken connection loses at most
MOST = 10  # seconds between two tries; the first waits are shorter


class Session(requests.Session):
    """A session that follows redirects only where they are allowed."""

    def __init__(self, hashed: bool) -> None:
        super().__init__()
        self.hashed = hashed

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return the address that a response redirects to, if any; raises OSError if it is not allowed."""
        target: str | None = super().get_redirect_target(resp)
        if target:
            check_redirect(resp.url, target, self.hashed)
        return target


class Resuming:
    """A transfer that resumes from the partial file of an earlier one, next to `target`, and checks the result."""

    def __init__(self, target: Path, file: File, known: str, timeout: float) -> None:
        self.target, self.file, self.known, self.timeout = target, file, known, timeout
        self.partial = partial_of(target)

    def fetch(self, url: str) -> None:
        """Fetch `url` into `target`; raises requests.RequestException if another try may help."""
        self.transfer(url)
        self.version.unlink(missing_ok=True)
        check(self.partial, self.target, self.known, self.file.size)
        put_in_place(self.partial, self.target)

    @property
    def version(self) -> Path:
        """The file that holds the version of the remote file to which the partial file belongs."""
        return self.partial.with_name(f"{self.partial.name}.version")

    def transfer(self, url: str) -> None:
        """Complete `partial`; start again if the remote file has changed or its transfer cannot be resumed."""
        began = self.partial.stat().st_size if self.partial.is_file() and self.version.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if began:
            headers |= {"Range": f"bytes={began}-", "If-Range": self.version.read_text()}
        with (
            Session(hashed=bool(self.known)) as session,
            session.get(url, headers=headers, stream=True, timeout=self.timeout) as response,
        ):
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                self.partial.unlink()
                raise requests.ConnectionError(f"{url} is shorter than what was fetched of it")
            if 400 <= response.status_code < 500:
                raise OSError(
                    f"{url} answers {response.status_code}: if it has moved, fetch {self.target.name} by hand into a "
                    f"folder {self.target.parent.name}/ and name the folder around that as data.mirror"
                )
            response.raise_for_status()
            resumed = response.status_code == requests.codes.partial_content
            known = response.headers.get("ETag") or response.headers.get("Last-Modified")
            if known and not known.startswith("W/"):  # without a strong version nothing can safely be resumed
                self.version.write_text(known)
            else:
                self.version.unlink(missing_ok=True)
            self.receive(response, began if resumed else 0)

    def receive(self, response: requests.Response, began: int) -> None:
        """Append the response's body to `partial`, which already holds the first `began` bytes."""
        length = response.headers.get("Content-Length")
        total = began + int(length) if length else None
        with (
            self.partial.open("ab" if began else "wb") as file,
            tqdm(total=total, initial=began, desc=self.target.name, unit="B", unit_scale=True) as bar,
        ):
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
        if total is not None and self.partial.stat().st_size != total:
            raise requests.ConnectionError(f"{self.partial.stat().st_size} of {total} bytes came")


def look_up_hash(hashes: Path, url: str) -> str:
    """Return the hash that was recorded when a URL was first fetched; empty if no hash is recorded."""
    return str(read_hashes(hashes).get(url, {}).get("hash", ""))


def read_hashes(hashes: Path) -> dict[str, dict[str, Json]]:
    """Read what is recorded about files, by URL; raises ValueError naming the record if it is damaged."""
    if not hashes.exists():
        return {}
    with explain_damage(hashes, "record of hashes", "restore it, or delete it to accept what comes"):
        entries = yaml.safe_load(hashes.read_bytes()) or {}
        return {url: dict(entry) for url, entry in entries.items()}


def record(hashes: Path, url: str, path: Path) -> None:
    """Record what a URL returned, so that later downloads must match it."""
    hashes.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(hashes.with_name(f".{hashes.name}.lock")):
        entries = read_hashes(hashes)
        entries[url] = {"hash": f"sha256:{pooch.file_hash(path)}", "size": path.stat().st_size}
        with replacing(hashes) as partial:
            partial.write_text(yaml.safe_dump(entries, sort_keys=True))


def hash_like(known: str, path: Path) -> str:
    """Return a file's hash by the algorithm of the known hash, "<algorithm>:<digits>"; empty without a known hash."""
    algorithm, _, _ = known.rpartition(":")
    return f"{algorithm}:{pooch.file_hash(path, algorithm)}" if known else ""


def check(path: Path, target: Path, known: str, size: int) -> None:
    """Raise OSError if a fetched file is not the expected one, and rename the file so that its name says so."""
    found = hash_like(known, path)
    if found == known and size in (0, path.stat().st_size):
        return
    aside = target.with_name(f"{target.name}.wrong-hash")
    has, wanted = f"{path.stat().st_size} bytes, {found}", f"{size or 'any number of'} bytes, {known}"
    put_in_place(path, aside)
    raise OSError(f"{target.name} is not the file it should be: it has {has}, not {wanted}; it is kept as {aside}")


def copy(source: Path, target: Path, file: File, known: str) -> None:
    """Copy a file out of a mirror's folder."""
    if not source.exists():
        raise FileNotFoundError(f"the mirror has no {source}: put the file there, fetched from {file.url}")
    with replacing(target) as partial:
        shutil.copyfile(source, partial)
        check(partial, target, known, file.size)


def fetch(url: str, target: Path, file: File, known: str, retries: int, timeout: float) -> None:
    """Fetch over HTTP into `target`; try again when the connection breaks or stalls."""
    failures = 0
    while not target.exists() or hash_like(known, target) != known:
        try:
            Resuming(target, file, known, timeout).fetch(url)
        except requests.RequestException as error:
            failures += 1
            if failures > retries:
                raise OSError(
                    f"{url} could not be fetched ({type(error).__name__}): what came is kept, run again to resume from "
                    "there, or name a mirror as data.mirror"
                ) from error
            time.sleep(min(failures, MOST))


def download(
    target: Path,
    file: File,
    mirror: str = "",
    accept_unknown_hashes: bool = False,
    hashes: Path = HASHES,
    retries: int = 3,
    timeout: float = 30.0,
) -> None:
    """Download a publisher's file to `target`, .../<source>/<name>; skip a file that already has the right hash.

    `mirror` replaces the internet: a base URL or a folder with <source>/<name> below it. A file without a known hash
    is refused unless you accept it; its hash is then recorded in `hashes`. `timeout` is in seconds without a byte.
    Raises ValueError for an unknown hash or a mirror's address with a password, OSError if the file cannot be
    downloaded or written, or has another hash.
    """
    check_mirror(mirror)
    known = file.hash or look_up_hash(hashes, file.url)
    if not known and not accept_unknown_hashes:
        raise ValueError(
            f"the hash of {file.url} is not known: set data.accept_unknown_hashes: true to accept and record it"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    place = f"{target.parent.name}/{target.name}"
    with explaining(target), FileLock(target.with_name(f".{target.name}.lock")):
        if mirror and not mirror.startswith(("http://", "https://")):
            copy(Path(mirror) / place, target, file, known)
        else:
            fetch(f"{mirror.rstrip('/')}/{place}" if mirror else file.url, target, file, known, retries, timeout)
        if not known:
            record(hashes, file.url, target)
