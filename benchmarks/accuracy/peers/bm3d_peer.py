"""Denoise an image of unit noise with BM3D: ``python bm3d_peer.py IN.npy OUT.npy`` (needs the package bm3d)."""

from __future__ import annotations

import sys

import numpy as np
from bm3d import bm3d


def main() -> None:
    """Read ``(Y, X)``, white noise of standard deviation 1; write the result of the package's defaults."""
    source, target = sys.argv[1:]
    np.save(target, bm3d(np.load(source).astype(np.float64), 1.0))


if __name__ == "__main__":
    main()
