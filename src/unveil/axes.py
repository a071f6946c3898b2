"""Axis letters: check, order, leave out.

An image's axes are a string of letters, always in the order ``T C Z Y X``: time, channel, depth,
height, width. Letters an image does not have are left out.
"""

from __future__ import annotations

from unveil.errors import ImageError

ORDER = "TCZYX"
SPATIAL = "ZYX"


def check_axes(axes: str, n_dims: int) -> str:
    """Return `axes` if it names `n_dims` distinct known axes and holds Y and X.

    Raises
    ------
    ImageError
        If a letter is unknown or double, Y or X is missing, or the number of letters is not `n_dims`.
    """
    problems = []
    unknown = sorted(set(axes) - set(ORDER))
    if unknown:
        problems.append(f"{', '.join(unknown)} is not one of {', '.join(ORDER)}")
    if len(set(axes)) != len(axes):
        problems.append("a letter appears twice")
    if not {"Y", "X"} <= set(axes):
        problems.append("Y and X are needed")
    if len(axes) != n_dims:
        problems.append(f"the array has {n_dims} dimensions")
    if problems:
        raise ImageError(
            f"Axes '{axes}' do not describe the image: {'; '.join(problems)}. "
            f"Give one letter per dimension, such as YX, ZYX or TCZYX."
        )
    return axes


def in_order(axes: str) -> str:
    """Return the letters of `axes` in the order T C Z Y X."""
    return "".join(letter for letter in ORDER if letter in axes)


def is_ordered(axes: str) -> bool:
    """Say whether the letters of `axes` stand in the order T C Z Y X."""
    return axes == in_order(axes)


def spatial(axes: str) -> str:
    """Return the spatial letters of `axes`: YX or ZYX."""
    return "".join(letter for letter in axes if letter in SPATIAL)


def without(axes: str, letters: str) -> str:
    """Return `axes` less `letters`."""
    return "".join(letter for letter in axes if letter not in letters)
