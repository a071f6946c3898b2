from __future__ import annotations

import pytest

from unveil.words import count


@pytest.mark.parametrize(("number", "words"), [(0, "0 objects"), (1, "1 object"), (2, "2 objects")])
def test_one_thing_has_no_plural(number: int, words: str) -> None:
    assert count(number, "object") == words
