"""Hands: what computes the pieces of a frame, one after the other here or many at a time elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

from unveil.inference.tiling import Tile

Result = TypeVar("Result")


class Hands(Protocol):
    """Calls a function for every tile, and may call it again after a failure; results come in any order."""

    def __call__(self, function: Callable[..., Result], tiles: Iterable[Tile], /, *shared: Any) -> Iterator[Result]:
        """Yield ``function(*shared, tile)`` for each of `tiles`; what is `shared` travels once, if it has to travel."""


def one_by_one(function: Callable[..., Result], tiles: Iterable[Tile], /, *shared: Any) -> Iterator[Result]:
    """Compute in this process, in order."""
    return (function(*shared, tile) for tile in tiles)
