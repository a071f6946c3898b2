"""What takes long to make and can be made again: files in the user's cache folder, bounded in size.

Nothing here fails: what is not there, damaged or not to be read is made again, and what cannot be written is not kept.
Processes may share the folder: an entry appears whole, and says by a digest that it is.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from unveil.errors import FileError
from unveil.io.user_folders import cache_folder
from unveil.io.writing import atomically

MOST_BYTES = 256 * 2**20
"""Of all entries together; those used longest ago go first."""
_ENDING = ".cached"
_DIGEST_BYTES = 32


def recall(key: str) -> bytes | None:
    """Return what was kept under `key`; None where nothing is, or not what was kept."""
    path = _path(key)
    try:
        entry = path.read_bytes()
    except OSError:
        return None
    digest, content = entry[:_DIGEST_BYTES], entry[_DIGEST_BYTES:]
    if digest != _digest(key, content):
        return None
    with suppress(OSError):
        os.utime(path)  # the time of the last use
    return content


def keep(key: str, content: bytes) -> None:
    """Keep `content` under `key`, and drop what was used longest ago where there is too much."""
    path = _path(key)
    if _DIGEST_BYTES + len(content) > MOST_BYTES:
        return
    with suppress(FileError, OSError), atomically(path) as part:
        part.write_bytes(_digest(key, content) + content)
    with suppress(OSError):
        _drop_oldest(path.parent)


def _path(key: str) -> Path:
    return cache_folder() / f"{hashlib.sha256(key.encode()).hexdigest()}{_ENDING}"


def _digest(key: str, content: bytes) -> bytes:
    sha = hashlib.sha256(key.encode())
    sha.update(content)
    return sha.digest()


def _drop_oldest(folder: Path) -> None:
    """Remove entries until the others take `MOST_BYTES` at most; half-written ones of processes that died count too."""
    entries = []
    for path in folder.glob(f"*{_ENDING}"):
        with suppress(OSError):  # another process dropped it
            found = path.stat()
            entries.append((found.st_mtime_ns, found.st_size, path))
    left = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if left <= MOST_BYTES:
            break
        with suppress(OSError):  # another process reads it, on systems that lock what is read
            path.unlink(missing_ok=True)
            left -= size
