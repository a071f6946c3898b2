"""Child processes: how they end, what they say at last, and that they go when their parent is gone."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

ABANDONED = 3
"""Exit code of a child whose parent is gone."""
_GLANCE_S = 1.0
_LAST_WORDS = 400


def leave_with_parent() -> None:
    """End this process when its parent ends, from a thread of its own.

    The end of a pipe tells less: on POSIX it may live on in a process that the parent forked, and nobody reads it while
    a graphics card is waited for.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_GLANCE_S)
        os._exit(ABANDONED)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a child at once, and let go of its pipes."""
    process.kill()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        with suppress(OSError):  # what could not be sent is lost
            stream.close()
    process.wait()


def last_words(log: Path) -> str:
    """Return the end of a `log` as a sentence to follow another; empty where nothing was said."""
    said = log.read_text(encoding="utf-8", errors="replace").strip()[-_LAST_WORDS:]
    return f" It said at last: …{said}" if said else ""
