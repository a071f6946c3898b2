"""Arrays for results: in memory where they fit, else in a nameless file beside the results until those are written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from unveil.errors import FileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MakeArray: TypeAlias = "Callable[[tuple[int, ...], Any], NDArray[Any]]"
"""Makes an array of zeros from a shape and a dtype."""


@contextmanager
def result_arrays(folder: Path) -> Iterator[MakeArray]:
    """Yield a maker of arrays, which are gone when the block ends.

    Raises
    ------
    FileError
        From the maker, if the disk of `folder` has no room for an array that memory cannot hold.
    """
    import numpy as np

    from unveil.tasks.result_memory import memory_for_results

    left = memory_for_results()
    with ExitStack() as files:

        def make(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
            nonlocal left
            n_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            if n_bytes <= left:
                left -= n_bytes
                return np.zeros(shape, dtype)
            return np.memmap(files.enter_context(_file_of_zeros(folder, n_bytes)), dtype, "r+", shape=shape)

        yield make


def _file_of_zeros(folder: Path, n_bytes: int) -> IO[bytes]:
    """Open a file of `n_bytes` that vanishes when it is closed, whatever ends the program.

    Its room is taken at once: a disk that fills up under a memory map would kill the process.
    """
    file = tempfile.TemporaryFile(dir=folder, prefix=".unveil-", suffix=".part")  # noqa: SIM115 (the caller closes it)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, n_bytes)
        else:
            file.truncate(n_bytes)
    except OSError as error:
        file.close()
        raise FileError(
            f"While it is computed, the result needs {n_bytes / 2**30:.1f} GiB more on the disk of {folder}, which "
            f"cannot be had: {error.strerror}. Choose a folder with more space."
        ) from error
    return file
