"""Downloads: interrupted, refused, slow, wrong and mirrored, from a real server on this machine."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml

from fig.data.catalogue import File
from fig.data.download import CHUNK, download
from support.publisher import Publisher, published

CONTENT = np.random.default_rng(0).bytes(300_000)
HASH = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    with published({"set.zip": CONTENT}) as publisher:
        yield publisher


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "source" / "set.zip"


def offered(publisher: Publisher, known: str = HASH) -> File:
    return File(f"{publisher.address}/set.zip", hash=known, size=len(CONTENT) if known else 0)


def left_over(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if path.suffix != ".lock")


def test_a_file_comes_whole_and_is_left_alone_once_it_is_there(publisher: Publisher, target: Path):
    download(target, offered(publisher))
    download(target, offered(publisher))
    assert target.read_bytes() == CONTENT and len(publisher.asked) == 1 and left_over(target) == ["set.zip"]


def test_an_interrupted_transfer_goes_on_where_it_stopped(publisher: Publisher, target: Path):
    publisher.cut["set.zip"] = [3 * CHUNK]
    with pytest.raises(OSError, match="what came is kept, run again to resume"):
        download(target, offered(publisher), retries=0)
    assert not target.exists()
    publisher.cut["set.zip"] = [2 * CHUNK]
    download(target, offered(publisher), retries=1)
    assert [asked for _, asked in publisher.asked] == [None, f"bytes={3 * CHUNK}-", f"bytes={5 * CHUNK}-"]
    assert target.read_bytes() == CONTENT and left_over(target) == ["set.zip"]


@pytest.mark.parametrize("change", ["content", "server", "shorter"])
def test_what_cannot_be_resumed_begins_again(publisher: Publisher, target: Path, change: str):
    publisher.cut["set.zip"] = [100_000]
    with pytest.raises(OSError, match="what came is kept"):
        download(target, offered(publisher), retries=0)
    expected = {"content": CONTENT[::-1], "server": CONTENT, "shorter": CONTENT[:90_000]}[change]
    publisher.files["set.zip"], publisher.no_ranges = expected, change == "server"
    known = f"sha256:{hashlib.sha256(expected).hexdigest()}"
    download(target, File(f"{publisher.address}/set.zip", hash=known), retries=2)
    assert target.read_bytes() == expected


def test_a_wrong_file_is_kept_aside_and_named_and_not_fetched_again(publisher: Publisher, target: Path):
    wrong = File(f"{publisher.address}/set.zip", hash=f"md5:{'0' * 32}")
    with pytest.raises(OSError, match=r"set\.zip is not the file it should be: it has .* md5:0{32}; it is kept as"):
        download(target, wrong)
    assert not target.exists() and left_over(target) == ["set.zip.wrong-hash"] and len(publisher.asked) == 1


def test_a_missing_file_is_reported_at_once_with_the_remedy(publisher: Publisher, target: Path):
    with pytest.raises(OSError, match=r"/gone\.zip answers 404.*data\.mirror"):
        download(target, File(f"{publisher.address}/gone.zip", hash=HASH))
    assert len(publisher.asked) == 1


def test_a_server_in_trouble_is_tried_again(publisher: Publisher, target: Path):
    publisher.failing["set.zip"] = [503, 500]
    download(target, offered(publisher))
    assert target.read_bytes() == CONTENT and len(publisher.asked) == 3


def test_a_server_that_sends_nothing_is_given_up(publisher: Publisher, target: Path):
    publisher.stall.add("set.zip")
    with pytest.raises(OSError, match="could not be fetched"):
        download(target, offered(publisher), retries=1, timeout=0.3)
    assert len(publisher.asked) == 2


def test_a_mirror_replaces_the_internet(publisher: Publisher, target: Path, tmp_path: Path):
    publisher.files["mirror/source/set.zip"] = CONTENT
    elsewhere = File("http://nowhere.invalid/set.zip", hash=HASH)
    download(target, elsewhere, mirror=f"{publisher.address}/mirror/")
    assert target.read_bytes() == CONTENT
    other = tmp_path / "other" / "source" / "set.zip"
    download(other, elsewhere, mirror=str(tmp_path / "downloads"))
    assert other.read_bytes() == CONTENT
    with pytest.raises(OSError, match=r"the mirror has no .*/source/set\.zip: put the file there"):
        download(other.with_name("third.zip").parent / "set.zip", elsewhere, mirror=str(tmp_path / "empty"))


def test_a_wrong_file_in_a_mirrors_folder_is_refused_and_kept_there(target: Path, tmp_path: Path):
    bad = tmp_path / "mirror" / "source" / "set.zip"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"something else")
    with pytest.raises(OSError, match="not the file it should be"):
        download(target, File("http://nowhere.invalid/set.zip", hash=HASH), mirror=str(tmp_path / "mirror"))
    assert bad.exists() and left_over(target) == ["set.zip.wrong-hash"]


def test_an_unknown_hash_is_refused_then_accepted_then_demanded(publisher: Publisher, target: Path, tmp_path: Path):
    hashes, file = tmp_path / "config" / "data.lock.yaml", offered(publisher, known="")
    with pytest.raises(ValueError, match=r"data\.accept_unknown_hashes: true"):
        download(target, file, hashes=hashes)
    assert not publisher.asked
    download(target, file, accept_unknown_hashes=True, hashes=hashes)
    recorded = yaml.safe_load(hashes.read_text())[file.url]
    assert recorded == {"hash": f"sha256:{hashlib.sha256(CONTENT).hexdigest()}", "size": len(CONTENT)}
    target.unlink()
    publisher.files["set.zip"] = CONTENT[::-1]
    with pytest.raises(OSError, match="not the file it should be"):
        download(target, file, accept_unknown_hashes=True, hashes=hashes)


def test_jobs_that_want_the_same_file_fetch_it_once(publisher: Publisher, target: Path):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: download(target, offered(publisher)), range(4)))
    assert len(publisher.asked) == 1 and target.read_bytes() == CONTENT


def test_a_full_disk_is_reported_and_nothing_is_taken_for_whole(publisher: Publisher, target: Path):
    target.parent.mkdir(parents=True)
    target.with_name(".partial-set.zip").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"the disk of .* is full"):
        download(target, offered(publisher))
    assert not target.exists()
