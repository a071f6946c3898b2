"""What a failure looks like in the terminal: one paragraph and an exit code.

::

    0    done
    2    the user can mend it: wrong options, InputError
    1    anything else: EngineError, the unexpected
    130  interrupted (Ctrl-C)
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from unveil.errors import InputError, UnveilError
from unveil.events import Cancelled

if TYPE_CHECKING:
    from pydantic import ValidationError

DONE, UNEXPECTED, MENDABLE, INTERRUPTED = 0, 1, 2, 130
TRACEBACK_VARIABLE = "UNVEIL_TRACEBACK"


def report(failure: BaseException, *, about: str = "") -> int:
    """Print `failure` on standard error as one paragraph and return its exit code.

    Parameters
    ----------
    about
        What failed, where one command works on several things: an image's path.
    """
    if _shows_traceback():
        traceback.print_exception(failure)
    print(f"unveil: {about}: {describe(failure)}" if about else f"unveil: {describe(failure)}", file=sys.stderr)
    return exit_code(failure)


def exit_code(failure: BaseException) -> int:
    """Return the exit code that `failure` stands for."""
    if isinstance(failure, KeyboardInterrupt | Cancelled):
        return INTERRUPTED
    return MENDABLE if isinstance(failure, InputError) else UNEXPECTED


def describe(failure: BaseException) -> str:
    """Return the message of `failure` as one paragraph."""
    if isinstance(failure, UnveilError):
        return paragraph(str(failure))
    if isinstance(failure, KeyboardInterrupt | Cancelled):
        return "interrupted; finished results are complete, and nothing half-written is left."
    if isinstance(failure, MemoryError):
        return "the memory is not enough. Choose a smaller --tile, or close other programs."
    hint = "" if _shows_traceback() else f" (--traceback or {TRACEBACK_VARIABLE}=1 shows where)"
    return paragraph(f"unexpected {type(failure).__name__}: {failure}{hint}")


def paragraph(message: str) -> str:
    """Return `message` without blank lines."""
    return re.sub(r"\n\s*\n", "\n", message.strip())


def explain(failure: ValidationError, name: Callable[[str], str] = str) -> str:
    """Put what pydantic found into words: ``threshold: input should be less than 1, not 3; …``.

    Parameters
    ----------
    name
        Turns a dotted key of the settings into what the user typed.
    """
    found = []
    for error in failure.errors():
        key = ".".join(str(part) for part in error["loc"])
        message = error["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:] if message[:1].isupper() and not message[1:2].isupper() else message
        is_value = error["type"] not in ("missing", "value_error") and not isinstance(error["input"], dict)
        found.append((name(key) if key else "", message + (f", not {error['input']!r}" if is_value else "")))
    return "; ".join(dict.fromkeys(f"{key}: {message}" if key else message for key, message in found))


def _shows_traceback() -> bool:
    return os.environ.get(TRACEBACK_VARIABLE, "") not in ("", "0")
