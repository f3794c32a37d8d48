"""A fault of MLflow's file, its server or a value costs one warning that says what to do."""

import logging
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from errno import EACCES, EROFS
from pathlib import Path

import pytest
from mlflow import MlflowClient

from fig.runtime import tracking, tracking_store
from fig.runtime.tracking import TrackingError, mirror, sync, try_to_mirror
from support.tracked import discriminator

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A fresh file of MLflow, which takes seconds to make."""
    folder = tmp_path_factory.mktemp("template")
    tracking.client_for(folder)
    return (folder / "mlflow.db").read_bytes()


@pytest.fixture(autouse=True)
def own_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow writes into the results folder's own SQLite file."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def warning(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """The one warning since the last call; nothing else was printed."""

    def take() -> str:
        (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
        caplog.clear()
        assert capfd.readouterr().err == ""
        return str(record.getMessage())

    return take


def change(file: Path, statement: str) -> None:
    """Run a statement of SQL on a SQLite file."""
    database = sqlite3.connect(file)
    database.execute(statement)
    database.commit()
    database.close()


def fill(file: Path, start: int) -> None:
    """Overwrite all of a file from a byte on."""
    whole = file.read_bytes()
    file.write_bytes(whole[:start] + b"\xa5" * (len(whole) - start))


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def replace_by_songs(file: Path) -> None:
    file.unlink()
    change(file, "CREATE TABLE songs (title TEXT)")


NO_FILES = {  # what becomes of a fresh file of MLflow, and the words of the sentence that says it
    "a text": (
        lambda file: file.write_text("not SQLite" * 1000),
        "no file of SQLite (file is not a database): move it away",
    ),
    "a header alone": (
        lambda file: os.truncate(file, 100),
        "is damaged or no file of SQLite (database",
    ),
    "half of it": (lambda file: os.truncate(file, file.stat().st_size // 2), "is damaged"),
    "a header before noise": (lambda file: fill(file, 100), "is damaged"),
    "its first pages before noise": (lambda file: fill(file, 64 * 4096), "is damaged"),
    "a folder": (replace_by_folder, "is no file: move it away"),
    "of another program": (replace_by_songs, "of another program: name another file in MLFLOW_TRACKING_URI"),
    "of the future": (
        lambda file: change(file, "UPDATE alembic_version SET version_num = 'f00d'"),
        "was written by a newer MLflow than",
    ),
    "without a version": (lambda file: change(file, "DELETE FROM alembic_version"), "was written by a newer MLflow"),
    "without a table": (lambda file: change(file, "DROP TABLE experiments"), "is the database of another program"),
    "without metrics": (lambda file: change(file, "DROP TABLE metrics"), ": move it away"),
}


@pytest.mark.parametrize("case", NO_FILES)
def test_a_file_that_mlflow_cannot_use_is_left_as_it_is_and_named_with_the_remedy(
    case: str, tmp_path: Path, template: bytes, warning: Callable[[], str]
):
    make, words = NO_FILES[case]
    folder, file = discriminator(tmp_path, seed=0), tmp_path / "mlflow.db"
    file.write_bytes(template)
    make(file)
    before = None if file.is_dir() else file.read_bytes()
    try_to_mirror(folder)
    message = warning()
    assert (
        message.startswith(f"MLflow was not updated ({file}")
        and words in message
        and "`fig sync` will catch it" in message
    )
    assert case == "without metrics" or before == (None if file.is_dir() else file.read_bytes())
    with pytest.raises(TrackingError, match=re.escape(words)):
        mirror(folder)
    if file.is_dir():
        file.rmdir()
    file.write_bytes(template)
    assert sync(tmp_path) == (1, 0)


def test_a_file_of_an_older_mlflow_is_not_changed_until_its_owner_has_it_upgraded(
    tmp_path: Path, warning: Callable[[], str]
):
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db.base_sql_model import Base  # noqa: F401
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base as Initial
    from sqlalchemy import create_engine

    folder, file = discriminator(tmp_path, seed=0), tmp_path / "mlflow.db"
    config = _get_alembic_config(f"sqlite:///{file}")
    revisions = [each.revision for each in ScriptDirectory.from_config(config).walk_revisions()]
    Initial.metadata.create_all(create_engine(f"sqlite:///{file}"))
    command.upgrade(config, revisions[len(revisions) // 2])
    before = file.read_bytes()
    try_to_mirror(folder)
    message = warning()
    assert f"mlflow db upgrade sqlite:///{file}" in message and file.read_bytes() == before
    remedy = [Path(sys.executable).with_name("mlflow"), "db", "upgrade", f"sqlite:///{file}"]
    subprocess.run(remedy, check=True, capture_output=True)
    assert sync(tmp_path) == (1, 0)


def test_an_empty_file_becomes_mlflow_s(tmp_path: Path):
    discriminator(tmp_path, seed=0)
    (tmp_path / "mlflow.db").touch()
    assert sync(tmp_path) == (1, 0)


def test_a_file_that_another_program_has_locked_is_waited_for_within_a_bound(
    tmp_path: Path, template: bytes, monkeypatch: pytest.MonkeyPatch, warning: Callable[[], str]
):
    folder, file = discriminator(tmp_path, seed=0), tmp_path / "mlflow.db"
    file.write_bytes(template)
    other = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(tracking_store, "PATIENCE", 0.5)
    try_to_mirror(folder)
    assert f"another program has kept {file} locked for 0.5 s: end it" in warning()
    monkeypatch.setattr(tracking_store, "PATIENCE", 600)
    tried, connect = threading.Event(), sqlite3.connect

    def connect_and_tell(*words, **options):
        tried.set()
        return connect(*words, **options)

    monkeypatch.setattr(tracking_store.sqlite3, "connect", connect_and_tell)
    releasing = threading.Thread(target=lambda: tried.wait() and other.execute("ROLLBACK"))
    releasing.start()
    try_to_mirror(folder)
    releasing.join()
    other.close()
    monkeypatch.undo()
    assert sync(tmp_path) == (1, 0)


def test_results_that_cannot_be_written_are_named(tmp_path: Path, warning: Callable[[], str]):
    folder = discriminator(tmp_path, seed=0)
    if os.geteuid() == 0:
        subprocess.run(["mount", "--bind", "-o", "ro", tmp_path, tmp_path], check=False)
        if os.access(tmp_path, os.W_OK):
            pytest.skip("no folder can be mounted read-only here")
    else:
        tmp_path.chmod(0o500)
    try:
        try_to_mirror(folder)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "-l", tmp_path], check=True)
        else:
            tmp_path.chmod(0o700)
    reason = os.strerror(EROFS if os.geteuid() == 0 else EACCES)
    assert f"mlflow.db.lock cannot be written ({reason}): make {tmp_path} writable" in warning()


def test_what_lies_in_the_place_of_the_lock_is_named(tmp_path: Path, warning: Callable[[], str]):
    (tmp_path / "mlflow.db.lock").mkdir()
    try_to_mirror(discriminator(tmp_path, seed=0))
    assert f"{tmp_path}/mlflow.db.lock cannot be locked (Is a directory)" in warning()


def test_moved_results_write_nothing_into_their_old_place_and_say_what_to_do(
    tmp_path: Path, template: bytes, warning: Callable[[], str]
):
    (tmp_path / "old").mkdir()
    (tmp_path / "old/mlflow.db").write_bytes(template)
    mirror(discriminator(tmp_path / "old", seed=0))
    (tmp_path / "old").rename(tmp_path / "new")
    moved = discriminator(tmp_path / "new", seed=1)
    try_to_mirror(moved)
    message = warning()
    assert f"{tmp_path}/new/mlflow.db was moved, its artifacts belong into {tmp_path}/old" in message
    assert "move the file away" in message and not (tmp_path / "old").exists()
    (tmp_path / "old").symlink_to(tmp_path / "new")  # both names are one place
    assert sync(tmp_path / "new") == (2, 0)
    (tmp_path / "old").unlink()
    (tmp_path / "new/mlflow.db").write_bytes(template)
    assert sync(tmp_path / "new") == (2, 0)
    client = MlflowClient(f"sqlite:///{tmp_path}/new/mlflow.db")
    assert len(client.list_artifacts(mirror(moved))) == 4


def test_a_deleted_experiment_is_named_with_the_command_that_restores_it(
    tmp_path: Path, template: bytes, warning: Callable[[], str]
):
    folder = discriminator(tmp_path, seed=0)
    (tmp_path / "mlflow.db").write_bytes(template)
    mirror(folder)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    number = client.get_experiment_by_name("tiny").experiment_id
    client.delete_experiment(number)
    try_to_mirror(folder)
    assert f"experiment tiny was deleted: mlflow experiments restore --experiment-id {number}" in warning()
    client.restore_experiment(number)
    assert sync(tmp_path) == (1, 0)
