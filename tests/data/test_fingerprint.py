"""Laws of content hashes: they are SHA-256, follow content and not time, and a remembered one is never stale."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from limen.data.fingerprint import cache_folder, content_hash, folder_hash
from limen.records.errors import BadInput


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMEN_CACHE", str(tmp_path / "cache"))


def old(path: Path, content: bytes, seconds: int = 1_000_000_000) -> Path:
    path.write_bytes(content)
    os.utime(path, (seconds, seconds))
    return path


def test_it_is_sha256(tmp_path: Path) -> None:
    assert content_hash(old(tmp_path / "a", b"abc")) == hashlib.sha256(b"abc").hexdigest()


def test_a_settled_file_is_remembered_until_it_changes(tmp_path: Path) -> None:
    path = old(tmp_path / "a", b"abc")
    content_hash(path)
    (note,) = (cache_folder() / "hashes").iterdir()
    note.write_text("f" * 64)
    assert content_hash(path) == "f" * 64  # remembered, so not read
    assert content_hash(path, remembered=False) == hashlib.sha256(b"abc").hexdigest()
    old(path, b"abd", 1_000_000_001)
    assert content_hash(path) == hashlib.sha256(b"abd").hexdigest()


def test_a_damaged_note_is_not_believed(tmp_path: Path) -> None:
    path = old(tmp_path / "a", b"abc")
    content_hash(path)
    (note,) = (cache_folder() / "hashes").iterdir()
    for damage in (b"", b"abc", b"\xff" * 64, b"g" * 64):
        note.write_bytes(damage)
        assert content_hash(path) == hashlib.sha256(b"abc").hexdigest()


def test_a_file_just_written_is_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    content_hash(tmp_path / "a")
    assert not (cache_folder() / "hashes").exists()


def test_without_a_place_to_remember_it_still_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LIMEN_CACHE", str(tmp_path / "file"))
    assert content_hash(old(tmp_path / "a", b"abc")) == hashlib.sha256(b"abc").hexdigest()


def test_a_folder_is_its_names_and_contents(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "sub" / "w").write_text("1")
    assert folder_hash(tmp_path / "one") == folder_hash(tmp_path / "two")
    (tmp_path / "two" / "README.md").write_text("words")
    (tmp_path / "two" / ".gitattributes").write_text("x")
    assert folder_hash(tmp_path / "one") == folder_hash(tmp_path / "two")
    (tmp_path / "two" / "sub" / "w").rename(tmp_path / "two" / "sub" / "v")
    assert folder_hash(tmp_path / "one") != folder_hash(tmp_path / "two")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        content_hash(tmp_path / "none")
    with pytest.raises(BadInput, match="expected a folder"):
        folder_hash(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="empty one"):
        folder_hash(tmp_path / "empty")
