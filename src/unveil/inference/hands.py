"""Hands: what computes the pieces of a frame, one after the other here or many at a time elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from unveil.inference.tiling import Tile, Tiling

Result = TypeVar("Result")


class Hands(Protocol):
    """Calls a function for every tile, and may call it again after a failure; results come in any order."""

    def __call__(self, function: Callable[[Tile], Result], tiles: Tiling, /) -> Iterator[Result]:
        """Yield what `function` returns for each of `tiles`."""


def one_by_one(function: Callable[[Tile], Result], tiles: Tiling, /) -> Iterator[Result]:
    """Compute in this process, in order."""
    return map(function, tiles)
