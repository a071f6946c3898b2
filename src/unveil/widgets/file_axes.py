"""What the file of a layer says of its axes: napari's own reader of TIFF files takes the pixels alone."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from napari.layers import Image as ImageLayer

from unveil.axes import ORDER
from unveil.io.tiff_metadata import named_axes

_NAPARI = ("napari", "builtins")
_TIFF = (".tif", ".tiff", ".lsm")


def axes_in_file(layer: ImageLayer) -> str | None:
    """Return the axes that the file of `layer` names, in the layer's order; None where it names none of this shape."""
    path, shape = layer.source.path, tuple(layer.data.shape)
    if not path or layer.source.reader_plugin not in _NAPARI or not path.lower().endswith(_TIFF) or layer.rgb:
        return None
    try:
        changed = Path(path).stat().st_mtime_ns
    except OSError:
        return None  # it was moved; the layer stays
    lengths = _lengths(path, changed)
    if tuple(lengths.values()) != shape:
        lengths = {letter: length for letter, length in lengths.items() if length > 1}
    fits = tuple(lengths.values()) == shape and {"Y", "X"} <= lengths.keys() <= set(ORDER)
    return "".join(lengths) if fits else None


@lru_cache(maxsize=64)
def _lengths(path: str, changed: int) -> dict[str, int]:
    """Return the length of each axis that the file names; `changed` tells one state of it from another."""
    return named_axes(Path(path))
