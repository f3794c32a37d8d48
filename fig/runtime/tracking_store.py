"""Find the server or file where MLflow keeps its runs, and describe its faults, without passwords."""

import os
import re
import sqlite3
from contextlib import closing
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten
from urllib.parse import quote

from fig.files import explain_failure

PATIENCE = 20  # seconds that another program may keep the file locked, as long as MLflow itself waits
LONGEST = 300  # characters of MLflow's message


class TrackingError(RuntimeError):
    """The tracking server or file could not be used."""


def default_uri(results: Path) -> str:
    """Return the URI of a results folder's SQLite file, the default when MLFLOW_TRACKING_URI is not set."""
    return f"sqlite:///{(results / 'mlflow.db').resolve()}"


def uri_of(results: Path) -> str:
    """Return the URI in use. Raises TrackingError for SQLite without a file, which saves nothing."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or default_uri(results)
    if uri in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
        raise TrackingError(f"MLFLOW_TRACKING_URI={uri} names no file: write sqlite:///<file>")
    return uri


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite URI, or None for any other URI."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def place_of(results: Path) -> str:
    """Return the server or file in use for messages: without a password."""
    return str(sqlite_file(uri_of(results)) or hide_secrets(uri_of(results), results))


def hide_secrets(text: str, results: Path) -> str:
    """Return a text without the user names, passwords and tokens for the server in use."""
    user, found, _ = uri_of(results).partition("://")[2].rpartition("@")
    text = text.replace(f"{user}@", "") if found else text
    return re.sub(r"(?i)(//)[^/\s]*@|((?:password|passwd|pwd|token|secret)=)[^&\s]*", r"\1\2", text)


def find_fault(file: Path, thorough: bool = False) -> str:
    """Return why MLflow cannot use an existing file, in a sentence with the remedy, or an empty string if it can.

    FIG asks before MLflow would retry for minutes or change another program's file. With `thorough`, it reads the whole
    file, because damage may be anywhere in it.
    """
    if not file.is_file():
        return f"{file} is no file: move it away"
    if not (os.access(file, os.R_OK | os.W_OK) and os.access(file.parent, os.W_OK)):
        return f"{file} cannot be written: make it and its folder writable"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=PATIENCE)) as database:
            database.execute("BEGIN IMMEDIATE")
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if thorough and database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("database disk image is malformed")
            if tables and not {"experiments", "alembic_version"} <= tables:
                return f"{file} is the database of another program: name another file in MLFLOW_TRACKING_URI"
            found = database.execute("SELECT version_num FROM alembic_version").fetchone() if tables else None
    except sqlite3.DatabaseError as error:
        return explain_error(file, error)
    return explain_schema(file, str(found[0]) if found else "") if tables else ""


def explain_error(file: Path, error: sqlite3.Error) -> str:
    """Explain SQLite's error about a file, in a sentence with the remedy."""
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF:  # without the details of the code
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"another program has kept {file} locked for {PATIENCE} s: end it"
        case sqlite3.SQLITE_FULL:
            return f"the disk of {file} is full: make room"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_IOERR:
            return f"{file} cannot be written ({error}): make it and its folder writable"
    return f"{file} is damaged or no file of SQLite ({error}): move it away"


def explain_schema(file: Path, found: str) -> str:
    """Explain why a file's tables, of schema `found`, do not fit this MLflow; return an empty string if they do."""
    from alembic.script import ScriptDirectory

    (package,) = getattr(find_spec("mlflow"), "submodule_search_locations", None) or [""]
    known = ScriptDirectory(str(Path(package) / "store" / "db_migrations"))
    if found == known.get_current_head():
        return ""
    if found in {each.revision for each in known.walk_revisions()}:
        return f"{file} was written by an older MLflow: copy it, then run mlflow db upgrade sqlite:///{file}"
    return f"{file} was written by a newer MLflow than {version('mlflow')}: install that, or move the file away"


def describe_failure(error: Exception, results: Path) -> str:
    """Describe an error of MLflow in one sentence that names the server or file, without passwords."""
    file = sqlite_file(uri_of(results))
    if file and file.exists() and (fault := find_fault(file, thorough=True)):
        return fault
    cause: BaseException = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = deeper
    if file and isinstance(cause, sqlite3.Error):
        return explain_error(file, cause)
    known = cause if isinstance(cause, OSError | ImportError) else error
    if sentence := explain_failure(known):
        return hide_secrets(sentence, results)
    lines = hide_secrets(str(known), results).strip().splitlines() or [type(known).__name__]
    return f"{place_of(results)}: {shorten(lines[0], LONGEST, placeholder=' …')}"
