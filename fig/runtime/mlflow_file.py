"""What is wrong with a SQLite file that MLflow is to use, found before MLflow changes or retries anything."""

import os
import sqlite3
from contextlib import closing
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

PATIENCE = 20  # seconds that another program may keep the file locked, as long as MLflow itself waits


def find_fault(file: Path, thorough: bool = False) -> str:
    """Why MLflow cannot use a file that exists, in a sentence with the remedy; empty where it can.

    Where `thorough`, the whole file is read: damage may be anywhere in it.
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
    """What SQLite found in a file, in a sentence with the remedy."""
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF:  # without the details of the code
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"another program has kept {file} locked for {PATIENCE} s: end it"
        case sqlite3.SQLITE_FULL:
            return f"the disk of {file} is full: make room"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_IOERR:
            return f"{file} cannot be written ({error}): make it and its folder writable"
    return f"{file} is damaged or no file of SQLite ({error}): move it away"


def explain_schema(file: Path, found: str) -> str:
    """Why the tables in a file, of the schema that it says, are not those of this MLflow; empty where they are."""
    from alembic.script import ScriptDirectory

    (package,) = getattr(find_spec("mlflow"), "submodule_search_locations", None) or [""]
    known = ScriptDirectory(str(Path(package) / "store" / "db_migrations"))
    if found == known.get_current_head():
        return ""
    if found in {each.revision for each in known.walk_revisions()}:
        return f"{file} was written by an older MLflow: copy it, then run mlflow db upgrade sqlite:///{file}"
    return f"{file} was written by a newer MLflow than {version('mlflow')}: install that, or move the file away"
