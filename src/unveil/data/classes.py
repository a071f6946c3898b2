"""Classes as a person paints them, with any numbers, and as a network counts them: from 1 without a gap."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from unveil.data.annotation import Annotation, judged_numbers, renumbered
from unveil.errors import ImageError
from unveil.image import Image

_MOST_CLASSES = 32
_NAMED = re.compile(r"class ([1-9]\d*)")


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """Annotations whose classes count from 1, as masks are often 255 where they are not 0.

    Attributes
    ----------
    painted
        The numbers as they were painted: of class 1, class 2 and so on.
    notice
        One sentence where these are others; otherwise empty.
    """

    annotations: tuple[Annotation, ...]
    painted: tuple[int, ...]
    notice: str


def count_classes(annotations: Sequence[Annotation], *, background: int | None = None) -> Counted:
    """Let the classes of `annotations` count from 1.

    Parameters
    ----------
    background
        The number that scribbles had on the background; None where they are none.

    Raises
    ------
    ImageError
        If there are too many numbers.
    """
    numbers = sorted({number for one in annotations for number in judged_numbers(one)} - {0})
    check_number_of_classes(len(numbers))
    painted, places = [painted_number(number, background) for number in numbers], list(range(1, len(numbers) + 1))
    words = ", ".join(f"{place} is what you painted as {number}" for place, number in zip(places, painted, strict=True))
    return Counted(
        tuple(annotations if numbers == places else (renumbered(one, numbers) for one in annotations)),
        tuple(painted),
        "" if painted == places else f"Results count classes from 1: {words}.",
    )


def class_names(numbers: Iterable[int]) -> tuple[str, ...]:
    """Name the classes after the numbers with which they were painted."""
    return ("background", *(f"class {number}" for number in numbers))


def numbers_of_classes(names: Sequence[str]) -> list[int]:
    """Return with which numbers classes were painted, background first; their places where the names tell of none."""
    found = [_NAMED.fullmatch(name) for name in names[1:]]
    painted = [int(match[1]) for match in found if match is not None]
    return [0, *painted] if len(painted) == len(found) else list(range(len(names)))


def counted_by_name(labels: Image, names: Sequence[str]) -> Image:
    """Return labels in which a class has its place among `names` where it had the number that they tell."""
    painted = numbers_of_classes(names)
    places = sorted(range(1, len(painted)), key=painted.__getitem__)
    if painted == list(range(len(painted))):
        return labels
    return renumbered(Annotation(labels), [painted[place] for place in places], places).labels


def painted_number(number: int, background: int | None) -> int:
    """Return with which number the class that labels count as `number` was painted."""
    return number + (background is not None and number >= background)


def check_number_of_classes(n_numbers: int) -> None:
    """Refuse what can hardly be classes.

    Raises
    ------
    ImageError
        If there are too many numbers.
    """
    if n_numbers > _MOST_CLASSES:
        raise ImageError(
            f"The labels hold {n_numbers} different numbers, and classes are at most {_MOST_CLASSES}. Learn objects if "
            f"every number is an object of its own; otherwise give all of a kind the same number."
        )
