from __future__ import annotations

import pytest

from unveil.words import count, listed, with_article


@pytest.mark.parametrize(("number", "words"), [(0, "0 objects"), (1, "1 object"), (2, "2 objects")])
def test_one_thing_has_no_plural(number: int, words: str) -> None:
    assert count(number, "object") == words


@pytest.mark.parametrize("noun", ["an array", "an Image", "a list", "a Tensor", "an ndarray", "a UNet"])
def test_an_article_sounds_right(noun: str) -> None:
    assert with_article(noun.split()[1]) == noun


@pytest.mark.parametrize(
    ("n", "words"), [(0, ""), (1, "a"), (3, "a, b, c"), (4, "a, b, c and 1 more"), (26, "a, b, c and 23 more")]
)
def test_names_beyond_the_most_are_counted(n: int, words: str) -> None:
    assert listed("abcdefghijklmnopqrstuvwxyz"[:n], 3) == words
