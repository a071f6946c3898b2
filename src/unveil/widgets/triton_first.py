"""Triton beside the canvas of napari, each with its own LLVM."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec


def load_triton() -> None:
    """Load Triton, where PyTorch came with it, so that it uses its own LLVM.

    PyTorch loads it on the way, with the first optimizer or where it computes nothing but shapes. By then the drivers
    of Mesa have lent theirs, of another version, to the whole process, which would die of it.
    """
    if "triton" in sys.modules or not hasattr(os, "RTLD_DEEPBIND") or find_spec("triton") is None:
        return
    flags = sys.getdlopenflags()
    sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
    try:
        with suppress(Exception):  # what is wrong with it shows where it is needed
            import_module("triton")
    finally:
        sys.setdlopenflags(flags)
