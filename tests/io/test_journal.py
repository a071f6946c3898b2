from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unveil.errors import FileError
from unveil.io.journal import Journal


def test_what_was_added_is_there_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.txt")
    assert "a" not in journal
    for piece in ("a", "plane 3, y 0", "µ\n“quoted”"):
        journal.add(piece)
    assert "a" in journal
    again = Journal(tmp_path / "journal.txt")
    assert len(again) == 3
    assert all(piece in again for piece in ("a", "plane 3, y 0", "µ\n“quoted”"))


@given(n_bytes=st.integers(0, 60), tail=st.binary(max_size=5))
def test_a_torn_end_costs_the_last_pieces_only(
    tmp_path_factory: pytest.TempPathFactory, n_bytes: int, tail: bytes
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.txt"
    journal = Journal(path)
    for number in range(5):
        journal.add(f"piece {number}")
    content = path.read_bytes()
    n_whole = content[:n_bytes].count(b"\n")
    path.write_bytes(content[:n_bytes] + tail)
    again = Journal(path)
    assert all(f"piece {number}" in again for number in range(n_whole))
    again.add("next")
    once_more = Journal(path)
    assert all(piece in once_more for piece in ("next", *(f"piece {number}" for number in range(n_whole))))


def test_several_threads_may_add(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.txt")

    def add(first: int) -> None:
        for number in range(first, first + 25):
            journal.add(str(number))

    threads = [threading.Thread(target=add, args=(first,)) for first in range(0, 100, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = Journal(tmp_path / "journal.txt")
    assert all(str(number) in again for number in range(100))


@pytest.mark.skipif(sys.platform == "win32", reason="a folder cannot be opened as a file there, in other words")
def test_what_cannot_be_opened_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be opened: Is a directory"):
        Journal(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_piece_that_does_not_fit_on_the_disk_is_not_noted(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.txt")
    journal.add("first")
    (tmp_path / "journal.txt").rename(tmp_path / "aside.txt")
    (tmp_path / "journal.txt").symlink_to("/dev/full")
    with pytest.raises(FileError, match="No space left on device"):
        journal.add("second")
    (tmp_path / "aside.txt").replace(tmp_path / "journal.txt")
    assert "second" not in journal
    journal.add("third")
    again = Journal(tmp_path / "journal.txt")
    assert [piece in again for piece in ("first", "second", "third")] == [True, False, True]
