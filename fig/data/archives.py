"""Read files by name from folders, zip files and tar files, through one interface and without unpacking them."""

import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path, PurePosixPath
from typing import IO, Self, cast

from fig.intact import DOWNLOAD

LARGEST = 1 << 28  # bytes of a file that is read whole, unpacked
MOST = 2_000_000  # members of an archive, whose names are in memory
LONGEST = 1 << 20  # bytes of the names and attributes of one member of a tar file
COMPRESSED = (b"BZh", b"\xfd7zXZ\0")  # how bzip2's and xz's files begin
ATTRIBUTES = (  # headers that only say more of the next member
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)

Member = zipfile.ZipInfo | tarfile.TarInfo | None  # None: a file in a folder


@dataclass(frozen=True)
class Archive:
    """An opened folder or archive."""

    path: Path
    members: dict[str, Member]  # in the order in which they are fastest to read
    opened: zipfile.ZipFile | tarfile.TarFile | None

    def picture(self, name: str) -> bytes | Path:
        """Return an encoded image: its bytes or, in a folder, its path, which is read when the image is decoded."""
        return self.read(name) if self.opened else self.path / name

    def read(self, name: str) -> bytes:
        """Return the bytes of a file in it; raises FileNotFoundError for an unknown name, ValueError for a bomb."""
        if name not in self.members:
            raise FileNotFoundError(f"{self.path} holds no {name}: it is not the expected archive, or not a whole one")
        if self.members[name] is None:
            return read_file(self.path / name)
        if (size := self.size(name)) > LARGEST:
            raise ValueError(f"{self.path} is refused: its member {name} would unpack to {size} bytes, above {LARGEST}")
        with explain_damaged_archive(self.path), self.stream(name) as file:
            return file.read()

    def copy(self, name: str, target: IO[bytes]) -> None:
        """Write a file of any size from it to `target`; raises OSError if the disk has no room."""
        disk = os.statvfs(target.fileno())
        if self.size(name) > disk.f_bavail * disk.f_frsize:
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        with explain_damaged_archive(self.path), self.stream(name) as file:
            shutil.copyfileobj(file, target)

    def size(self, name: str) -> int:
        """Return the unpacked bytes of a file in it."""
        member = self.members[name]
        if member is None:
            return (self.path / name).stat().st_size
        return member.file_size if isinstance(member, zipfile.ZipInfo) else member.size

    def stream(self, name: str) -> IO[bytes]:
        """Open a file in it."""
        member = self.members[name]
        if member is None:
            return (self.path / name).open("rb")
        if isinstance(self.opened, zipfile.ZipFile):
            return self.opened.open(cast(zipfile.ZipInfo, member))  # of the kind of the archive
        return cast(IO[bytes], cast(tarfile.TarFile, self.opened).extractfile(cast(tarfile.TarInfo, member)))

    def ending(self, *suffixes: str) -> list[str]:
        """Return the names of its files with these endings, in upper or lower case, without hidden files."""
        return [name for name in self.members if name.lower().endswith(suffixes) and not is_hidden(name)]

    def only(self, ending: str) -> str:
        """Return the only name with this ending; raises FileNotFoundError if no name or several names have it."""
        found = [name for name in self.members if name.endswith(ending)]
        if len(found) != 1:
            raise FileNotFoundError(f"{self.path} holds {len(found)} files {ending}, not one: is it the right archive?")
        return found[0]


def names_below(folder: Path) -> list[str]:
    """Return the names of all files below a folder, in order; fast, because there may be a million.

    It follows links to folders, and raises ValueError for a link that leads to a folder already visited.
    """
    found: list[str] = []
    seen: dict[str, str] = {}
    for place, _, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            raise ValueError(f"{place} and {seen[real]} are the same folder: remove the link")
        seen[real] = place
        below = Path(place).relative_to(folder).as_posix()
        found.extend(names if below == "." else (f"{below}/{name}" for name in names))
    return sorted(found)


def is_hidden(name: str) -> bool:
    """Whether a file or a folder around it is hidden, or holds a Mac's remarks about other files."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def is_file(path: Path) -> bool:
    """Whether a file exists; a name that is too long counts as missing."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_file(path: Path) -> bytes:
    """Return the bytes of a file; raises ValueError for a pipe, a device, or a file too large to read at once."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no file")
    if (size := path.stat().st_size) > LARGEST:
        raise ValueError(f"{path} is too large: it has {size} bytes, above {LARGEST}")
    return path.read_bytes()


@contextmanager
def explain_damaged_archive(path: Path) -> Iterator[None]:
    """Raise ValueError naming the archive if the block finds it truncated or cannot read it."""
    try:
        yield
    except NotImplementedError as error:
        raise ValueError(f"{path} cannot be read ({error}): unpack it, and state the folder") from None
    except (EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        truncated = isinstance(error, EOFError) or "unexpected end" in str(error)
        raise ValueError(f"{path} is {'truncated' if truncated else f'damaged ({error})'}: {DOWNLOAD}") from None


def check_member(archive: Path, name: str, plain: bool) -> None:
    """Raise ValueError for a member that is neither file nor folder or would lie outside of the archive's folder."""
    path = PurePosixPath(name)
    if not plain or path.is_absolute() or ".." in path.parts:
        what = "would lie outside of it" if plain else "is a link or a device"
        raise ValueError(f"{archive} is refused: its member {name} {what}")


def check_count(archive: Path, count: int) -> None:
    """Raise ValueError where an archive has too many members."""
    if count > MOST:
        raise ValueError(f"{archive} holds more than {MOST} members: unpack it, and state the folder")


def list_zip(path: Path, file: zipfile.ZipFile) -> dict[str, Member]:
    """Return the files in a zip file; the last of several with one name, as unpacking would leave it."""
    check_count(path, len(file.infolist()))
    for info in file.infolist():
        check_member(path, info.filename, stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR))
        if info.flag_bits & 1:
            raise ValueError(f"{path} is encrypted: unpack it with its password, and state the folder")
    return {info.filename: info for info in file.infolist() if not info.is_dir()}


class Header(tarfile.TarInfo):
    """A member of a tar file whose header neither fills the memory nor leads back to where reading has been."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header; raises tarfile.HeaderError where it states an impossible size."""
        found = super().frombuf(buf, encoding, errors)
        if found.size < 0 or (found.type in ATTRIBUTES and found.size > LONGEST):
            raise tarfile.HeaderError(f"a header states {found.size} bytes")
        return found


def list_tar(path: Path, tar: tarfile.TarFile) -> dict[str, Member]:
    """Return the files in a tar file; the last of several with one name, as unpacking would leave it.

    Raises tarfile.ReadError if the file does not end as tar files do, because missing members would go unnoticed.
    """
    found: dict[str, Member] = {}
    for count, member in enumerate(tar, 1):
        check_count(path, count)
        check_member(path, member.name, member.isfile() or member.isdir())
        if member.size < 0:
            raise tarfile.ReadError(f"{member.name} is of {member.size} bytes")
        if member.isfile():
            found[member.name.removeprefix("./")] = member
    file = cast(tarfile.ExFileObject, tar.fileobj)
    file.seek(tar.offset)  # where no further header was found
    end = file.read(tarfile.BLOCKSIZE)
    if end.strip(b"\0"):
        raise tarfile.ReadError("it holds what is no header")
    if len(end) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("unexpected end of data")
    while file.read(LONGEST):  # to the sum of what was compressed, which is compared at its end
        pass
    return found


def open_tar(path: Path) -> tarfile.TarFile | None:
    """Open a tar file with any compression; None if it is not a tar file."""
    try:
        return tarfile.open(path, tarinfo=Header)
    except tarfile.ReadError:
        return None


def explain_no_archive(path: Path) -> str:
    """Explain why a file is not an archive."""
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        return f"{path} is empty: {DOWNLOAD}"
    if start.startswith((b"PK\3\4", *COMPRESSED)):
        return f"{path} is truncated, or no archive: {DOWNLOAD}"
    return f"{path} is neither a folder nor a zip or tar file"


@contextmanager
def open_archive(path: Path, names: Iterable[str] | None = None) -> Iterator[Archive]:
    """Open a folder, a zip file, or a tar file with any compression, for the length of a with-block.

    In a folder, which may hold many other files, only the files `names` are looked up, if they are given.
    Raises ValueError if an archive has a member that is a link, a device or outside of it, if the archive is encrypted
    or truncated, or if `path` is something else.
    """
    if path.is_dir():
        found = names_below(path) if names is None else (name for name in names if is_file(path / name))
        yield Archive(path, dict.fromkeys(found), None)
        return
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    if not path.is_file():
        raise ValueError(f"{path} is neither a folder nor a zip or tar file")
    with explain_damaged_archive(path):
        tar = open_tar(path)  # first: the end of a zip file may be found in a tar file that holds one
        file = None if tar or not zipfile.is_zipfile(path) else zipfile.ZipFile(path)
    if tar:
        with tar:
            with explain_damaged_archive(path):
                listed = list_tar(path, tar)
            yield Archive(path, listed, tar)
    elif file:
        with file:
            with explain_damaged_archive(path):
                listed = list_zip(path, file)
            yield Archive(path, listed, file)
    else:
        raise ValueError(explain_no_archive(path))
