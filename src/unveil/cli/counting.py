"""Numbers with the noun that they count."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """Return the number and what is counted."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
