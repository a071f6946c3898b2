"""Journal: which pieces of a long work are finished, on disk, so that the work can go on after it was killed."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from unveil.errors import FileError
from unveil.io.writing import reason


class Journal:
    """The finished pieces of a work: a text file with one JSON string per line, written to at its end only.

    A piece is noted when everything it made is on the disk, and stays noted from then on. A work that goes on does
    again what is not noted, so pieces must not depend on what a broken one left behind.

    Parameters
    ----------
    path
        The file; it is begun where it is missing. A last line that was being written when the work was killed is
        cut off.

    Raises
    ------
    FileError
        If the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            path.touch()
            self._pieces, self._n_bytes = _read(path.read_bytes())
            os.truncate(path, self._n_bytes)
        except OSError as error:
            raise FileError(f"The journal {path} cannot be opened: {reason(error)}") from error

    def __contains__(self, piece: str) -> bool:
        return piece in self._pieces

    def __len__(self) -> int:
        return len(self._pieces)

    def add(self, piece: str) -> None:
        """Note that `piece` is finished; several threads may. When this returns, the disk has it.

        Raises
        ------
        FileError
            If it cannot be written; then the piece is not noted.
        """
        line = json.dumps(piece).encode() + b"\n"
        with self._lock:
            try:
                with self._path.open("r+b") as file:
                    file.seek(self._n_bytes)  # over what an attempt on a full disk left of its line
                    file.write(line)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise FileError(f"The journal {self._path} cannot be written: {reason(error)}") from error
            self._n_bytes += len(line)
            self._pieces.add(piece)


def _read(content: bytes) -> tuple[set[str], int]:
    """Return the pieces of the whole lines at the beginning of `content`, and how many bytes these take."""
    pieces: set[str] = set()
    n_bytes = 0
    for line in content.splitlines(keepends=True):
        piece = _piece(line)
        if piece is None:
            break
        pieces.add(piece)
        n_bytes += len(line)
    return pieces, n_bytes


def _piece(line: bytes) -> str | None:
    try:
        piece = json.loads(line)
    except ValueError:
        return None
    return piece if isinstance(piece, str) and line.endswith(b"\n") else None
