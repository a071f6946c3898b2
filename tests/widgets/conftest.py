from __future__ import annotations

import dask
import pytest


@pytest.fixture
def dask_in_this_thread():
    """Compute without dask's pool, whose threads never end."""
    with dask.config.set(scheduler="synchronous"):
        yield
