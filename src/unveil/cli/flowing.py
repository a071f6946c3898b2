"""Descriptions of options whose lines flow together."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

Command = TypeVar("Command", bound=Callable[..., Any])

_INDENT = "    "


def flowing(command: Command) -> Command:
    """Join the lines of each description in the docstring of `command`: the help would break where the source does."""
    lines: list[str] = []
    for line in inspect.cleandoc(command.__doc__ or "").splitlines():
        if line.startswith(_INDENT) and lines and lines[-1].startswith(_INDENT):
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    command.__doc__ = "\n".join(lines)
    return command
