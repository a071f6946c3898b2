"""The cache gives back what was kept, or nothing: never something else, and never an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unveil.io import cache
from unveil.io.cache import keep, recall


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNVEIL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)


def test_what_is_kept_comes_back_under_its_key_alone() -> None:
    assert recall("one") is None
    keep("one", b"1" * 1000)
    keep("two", b"")
    assert recall("one") == b"1" * 1000
    assert recall("two") == b""
    assert recall("three") is None
    keep("one", b"another")
    assert recall("one") == b"another"


@pytest.mark.parametrize("damage", ["cut", "changed", "foreign", "empty", "folder"])
def test_a_damaged_entry_is_ignored_and_replaced(folder: Path, damage: str) -> None:
    keep("other", b"of another key")
    (other,) = folder.iterdir()
    keep("key", b"content" * 100)
    (path,) = set(folder.iterdir()) - {other}
    whole = path.read_bytes()
    match damage:
        case "cut":
            path.write_bytes(whole[:-1])
        case "changed":
            path.write_bytes(whole[:-1] + b"?")
        case "foreign":
            path.write_bytes(other.read_bytes())
        case "empty":
            path.write_bytes(b"")
        case "folder":
            path.unlink()
            path.mkdir()
    assert recall("key") is None
    keep("key", b"content" * 100)
    assert recall("key") == (None if damage == "folder" else b"content" * 100)


def test_what_was_used_longest_ago_goes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_BYTES", 3500)
    for age, key in enumerate(["a", "b", "c"]):
        keep(key, key.encode() * 1000)
        os.utime(entries(folder)[-1], (1000 + age, 1000 + age))
    assert recall("a")  # used again
    keep("d", b"d" * 1000)
    assert [key for key in "abcd" if recall(key)] == ["a", "c", "d"]
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 3500


def test_what_is_larger_than_the_cache_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_BYTES", 1500)
    keep("small", b"s" * 1000)
    keep("large", b"l" * 1500)
    assert recall("large") is None
    assert recall("small") is not None


def test_half_written_entries_of_dead_processes_go_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_BYTES", 1500)
    keep("first", b"f")
    (first,) = folder.iterdir()
    half = first.with_name(f".{first.stem}-0123abcd.part{first.suffix}")
    half.write_bytes(b"h" * 1000)
    os.utime(half, (1000, 1000))
    keep("second", b"s" * 1000)
    assert not half.exists()
    assert recall("first") == b"f"


def test_other_files_in_the_folder_are_let_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_BYTES", 1500)
    folder.mkdir()
    (folder / "thesis.txt").write_bytes(b"t" * 5000)
    keep("a", b"a" * 1000)
    keep("b", b"b" * 1000)
    assert recall("a") is None
    assert recall("b") is not None
    assert (folder / "thesis.txt").stat().st_size == 5000


def test_a_folder_that_cannot_be_written_keeps_nothing(folder: Path) -> None:
    folder.write_text("a file stands here")
    keep("key", b"content")
    assert recall("key") is None


MANY = """
from unveil.io import cache
cache.MOST_BYTES = 40_000  # entries are dropped all the time
for turn in range(300):
    key = str(turn % 7)
    found = cache.recall(key)
    assert found in (None, key.encode() * 9000), "something else came back"
    cache.keep(key, key.encode() * 9000)
"""


def test_processes_share_the_folder(folder: Path) -> None:
    both = [subprocess.Popen([sys.executable, "-c", MANY], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert errors == ["", ""]
    assert 0 < sum(path.stat().st_size for path in folder.iterdir()) <= 40_000 + 2 * 9032
    assert not [path for path in folder.iterdir() if ".part" in path.name]
