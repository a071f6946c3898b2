from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unveil.operators.reflection import reflected


@given(st.integers(1, 12), st.integers(0, 30), st.integers(0, 30))
def test_it_is_that_of_numpy(size: int, before: int, after: int) -> None:
    expected = np.pad(np.arange(size), (before, after), mode="reflect")
    np.testing.assert_array_equal(reflected(np.arange(-before, size + after), size), expected)
