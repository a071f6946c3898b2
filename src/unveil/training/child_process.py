"""What a child process does when its parent is gone: it goes too."""

from __future__ import annotations

import os
import threading
import time

ABANDONED = 3
"""Exit code of a child whose parent is gone."""
_GLANCE_S = 1.0


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
