"""What pydantic finds wrong with settings, in words."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_MOST_NAMED = 5


def explain(failure: ValidationError, name: Callable[[str], str] = str) -> str:
    """Put what pydantic found into words: ``threshold: input should be less than 1, not 3; …``.

    Parameters
    ----------
    name
        Turns a dotted key of the settings into what the user knows it by.
    """
    found: dict[str, None] = {}
    for error in failure.errors(include_url=False):
        key = ".".join(str(part) for part in error["loc"])
        found[f"{name(key)}: {_words(error)}" if key else _words(error)] = None
    more = len(found) - _MOST_NAMED
    return "; ".join(list(found)[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _words(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return "not known"
    if error["type"] == "union_tag_not_found":
        return f"say which kind is meant by its {error['ctx']['discriminator']}"
    message = error["msg"].removeprefix("Value error, ")
    if message[:1].isupper() and not message[1:2].isupper():
        message = message[0].lower() + message[1:]
    names_value = error["type"] not in ("missing", "value_error") and not isinstance(error["input"], dict)
    # the values may come from a stranger's file: reprlib keeps them short
    return f"{message}, not {reprlib.repr(error['input'])}" if names_value else message
