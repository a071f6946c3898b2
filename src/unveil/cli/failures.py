"""What a failure looks like in the terminal: one paragraph and an exit code.

::

    0    done
    2    the user can mend it: wrong options, InputError, a file or folder that the system refuses
    1    anything else: EngineError, the unexpected
    130  interrupted (Ctrl-C)
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from typing import TypeGuard

from unveil.errors import InputError, UnveilError
from unveil.events import Cancelled

DONE, UNEXPECTED, MENDABLE, INTERRUPTED = 0, 1, 2, 130
TRACEBACK_VARIABLE = "UNVEIL_TRACEBACK"


def report(failure: BaseException, *, about: str = "") -> int:
    """Print `failure` on standard error as one paragraph and return its exit code.

    Parameters
    ----------
    about
        What failed, where one command works on several things: an image's path, for messages that do not name it.
    """
    if _shows_traceback():
        traceback.print_exception(failure)
    message = describe(failure)
    print(f"unveil: {message}" if about in message else f"unveil: {about}: {message}", file=sys.stderr)
    return exit_code(failure)


def exit_code(failure: BaseException) -> int:
    """Return the exit code that `failure` stands for."""
    if isinstance(failure, KeyboardInterrupt | Cancelled):
        return INTERRUPTED
    return MENDABLE if isinstance(failure, InputError) or _names_a_file(failure) else UNEXPECTED


def worse(code: int, other: int) -> int:
    """Return 1 (unexpected) before 2 (mendable) before 0."""
    return UNEXPECTED if UNEXPECTED in (code, other) else max(code, other)


def describe(failure: BaseException) -> str:
    """Return the message of `failure` as one paragraph."""
    if isinstance(failure, UnveilError):
        return paragraph(str(failure))
    if isinstance(failure, KeyboardInterrupt | Cancelled):
        return "interrupted; no file is left half-written."
    if isinstance(failure, MemoryError):
        return "the memory is not enough. Choose a smaller --tile, or close other programs."
    if _names_a_file(failure):
        found = failure.strerror or failure
        return paragraph(f"{failure.filename} cannot be read or written: {found}. Choose another file or folder.")
    hint = "" if _shows_traceback() else f" (--traceback or {TRACEBACK_VARIABLE}=1 shows where)"
    return paragraph(f"unexpected {type(failure).__name__}: {failure}{hint}")


def paragraph(message: str) -> str:
    """Return `message` without blank lines."""
    return re.sub(r"\n\s*\n", "\n", message.strip())


def _names_a_file(failure: BaseException) -> TypeGuard[OSError]:
    """Say whether a file or folder may not be used, or is the other: what a user can choose anew."""
    kinds = (PermissionError, IsADirectoryError, NotADirectoryError)
    return isinstance(failure, kinds) and failure.filename is not None


def _shows_traceback() -> bool:
    return os.environ.get(TRACEBACK_VARIABLE, "") not in ("", "0")
