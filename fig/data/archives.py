"""Folders, zip files and tar files alike: names of the files in them, and their bytes. Nothing is unpacked."""

import os
import stat
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import cast

Member = zipfile.ZipInfo | tarfile.TarInfo | None  # None: a file in a folder


@dataclass(frozen=True)
class Archive:
    """An opened folder or archive."""

    path: Path
    members: dict[str, Member]  # in the order in which they are fastest to read
    opened: zipfile.ZipFile | tarfile.TarFile | None

    def picture(self, name: str) -> bytes | Path:
        """An image in it, encoded: bytes, or where it is a file of its own the path, to be read where it is decoded."""
        return self.read(name) if self.opened else self.path / name

    def read(self, name: str) -> bytes:
        """Bytes of a file in it; raises FileNotFoundError where there is none of that name."""
        if name not in self.members:
            raise FileNotFoundError(f"{self.path} holds no {name}: it is not the expected archive, or not a whole one")
        if self.opened is None:
            return (self.path / name).read_bytes()
        if isinstance(self.opened, zipfile.ZipFile):
            return self.opened.read(cast(zipfile.ZipInfo, self.members[name]))  # of the kind of the archive
        file = self.opened.extractfile(cast(tarfile.TarInfo, self.members[name]))
        if file is None:
            raise FileNotFoundError(f"{self.path} holds {name}, which is no file")
        return file.read()

    def ending(self, *suffixes: str) -> list[str]:
        """Names of its files that end so, whatever the case; hidden files are passed over."""
        return [name for name in self.members if name.lower().endswith(suffixes) and not hidden(name)]

    def only(self, ending: str) -> str:
        """The one name that ends so; raises FileNotFoundError where there is none, or more than one."""
        found = [name for name in self.members if name.endswith(ending)]
        if len(found) != 1:
            raise FileNotFoundError(f"{self.path} holds {len(found)} files {ending}, not one: is it the right archive?")
        return found[0]


def names_below(folder: Path) -> list[str]:
    """Names of all files below a folder, in order; quick, since there may be a million."""
    found: list[str] = []
    for place, _, names in os.walk(folder):
        below = Path(place).relative_to(folder).as_posix()
        found.extend(names if below == "." else (f"{below}/{name}" for name in names))
    return sorted(found)


def hidden(name: str) -> bool:
    """Whether a file or a folder around it is hidden, or holds a Mac's remarks about other files."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def check_name(archive: Path, name: str, link: bool) -> None:
    """Raise ValueError for a member that is a link or would lie outside of the archive's folder."""
    path = PurePosixPath(name)
    if link or path.is_absolute() or ".." in path.parts:
        what = "is a link" if link else "would lie outside of it"
        raise ValueError(f"{archive} is refused: its member {name} {what}")


@contextmanager
def opened(path: Path, names: Iterable[str] | None = None) -> Iterator[Archive]:
    """Open a folder, a zip file, or a tar file under any compression, for the length of a with-block.

    Of a folder only the files `names` are looked for, if they are given: it may hold much else.
    Raises ValueError where a member of an archive is a link or lies outside, or where `path` is none of these.
    """
    if path.is_dir():
        found = names_below(path) if names is None else (name for name in names if (path / name).is_file())
        yield Archive(path, dict.fromkeys(found), None)
    elif not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            for info in file.infolist():
                check_name(path, info.filename, stat.S_ISLNK(info.external_attr >> 16))
            yield Archive(path, {info.filename: info for info in file.infolist() if not info.is_dir()}, file)
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            for member in members:
                check_name(path, member.name, not (member.isfile() or member.isdir()))
            yield Archive(path, {each.name.removeprefix("./"): each for each in members if each.isfile()}, tar)
    else:
        raise ValueError(f"{path} is neither a folder nor a zip or tar file")
