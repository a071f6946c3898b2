"""Names and numbers in a sentence, however many there are."""

from __future__ import annotations

from collections.abc import Sequence


def with_article(noun: str) -> str:
    """Return ``an array``, ``a list``, ``an ndarray``, as they are spoken."""
    return f"{'an' if noun[0] in 'aeiouAEIO' or noun.startswith('nd') else 'a'} {noun}"


def count(number: int, noun: str) -> str:
    """Return the number and what is counted."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(names: Sequence[str], most: int) -> str:
    """Return ``a, b, c and 7 more``: at most so many of `names`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
